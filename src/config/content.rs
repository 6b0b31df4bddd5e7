//! Rules and watchlists: built into the program, and the user's own over them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::ConfigError;

static DETECTIONS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/detections");
static WATCHLISTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/watchlists");

/// One file of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFile {
    /// Where it is; `built-in/…` for those of the program.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// Rules and watchlists, each file once, by its name within its kind.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// Rules.
    pub detections: Vec<ContentFile>,
    /// CSV tables that rules ask.
    pub watchlists: Vec<ContentFile>,
}

impl Content {
    /// The built-in content, with the files of the folder in place of those of the same name and beside them.
    pub fn load(folder: Option<&Path>) -> Result<Self, ConfigError> {
        if let Some(folder) = folder {
            std::fs::read_dir(folder)
                .map_err(|source| ConfigError::Read { path: folder.to_owned(), source })?;
        }
        let kind = |name: &str, built_in: &Dir<'_>, extensions: &[&str]| {
            files(name, built_in, folder.map(|folder| folder.join(name)).as_deref(), extensions)
        };
        Ok(Self {
            detections: kind("detections", &DETECTIONS, &["yaml", "yml"])?,
            watchlists: kind("watchlists", &WATCHLISTS, &["csv"])?,
        })
    }
}

fn files(
    kind: &str,
    built_in: &Dir<'_>,
    folder: Option<&Path>,
    extensions: &[&str],
) -> Result<Vec<ContentFile>, ConfigError> {
    let wanted = |path: &Path| {
        path.extension()
            .is_some_and(|found| extensions.iter().any(|extension| found.eq_ignore_ascii_case(extension)))
    };
    let mut by_name: BTreeMap<PathBuf, ContentFile> = BTreeMap::new();
    for file in built_in.files().filter(|file| wanted(file.path())) {
        let text = file.contents_utf8().unwrap_or_default().to_owned();
        let path = Path::new("built-in").join(kind).join(file.path());
        by_name.insert(file.path().to_owned(), ContentFile { path, text });
    }
    if let Some(folder) = folder.filter(|folder| folder.is_dir()) {
        let fail = |source| ConfigError::Read { path: folder.to_owned(), source };
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if !wanted(&path) {
                continue;
            }
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            let name = path.file_name().map(PathBuf::from).unwrap_or_default();
            by_name.insert(name, ContentFile { path, text });
        }
    }
    Ok(by_name.into_values().collect())
}
