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

/// The query of a rule's file: the block after `query: |` or `queryText: |`, or the whole text of a file that is no YAML.
pub(crate) fn query_of(text: &str) -> String {
    let mut lines = text.lines();
    for line in lines.by_ref() {
        let key = line.trim_start();
        if let Some(rest) = key.strip_prefix("query:").or_else(|| key.strip_prefix("queryText:")) {
            let rest = rest.trim();
            if !rest.is_empty() && !rest.starts_with(['|', '>']) {
                return rest.trim_matches(['\'', '"']).to_owned();
            }
            let indent = line.len() - line.trim_start().len();
            let mut query = String::new();
            for line in lines.by_ref() {
                let own = line.len() - line.trim_start().len();
                if !line.trim().is_empty() && own <= indent {
                    break;
                }
                query.push_str(line);
                query.push('\n');
            }
            return query;
        }
    }
    text.to_owned()
}
