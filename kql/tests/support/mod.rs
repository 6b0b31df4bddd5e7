//! What the test suites share.

#![allow(dead_code)]

pub(crate) mod shelf;

use std::path::{Path, PathBuf};

/// The folder of shared corpora, or `None` after saying that it is not there.
pub(crate) fn shared(what: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("PROVOST_SHARED") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    let path = root.join(what);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there (set PROVOST_SHARED to the folder that holds it)", path.display());
    None
}
