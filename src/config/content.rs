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
            detections: kind("detections", &DETECTIONS, &["yaml", "yml", "kql", "csl"])?,
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
    let mut folders = vec![built_in];
    while let Some(next) = folders.pop() {
        folders.extend(next.dirs());
        for file in next.files().filter(|file| wanted(file.path())) {
            let text = file.contents_utf8().unwrap_or_default().to_owned();
            let path = Path::new("built-in").join(kind).join(file.path());
            by_name.insert(file.path().to_owned(), ContentFile { path, text });
        }
    }
    let Some(root) = folder.filter(|folder| folder.is_dir()) else {
        return Ok(by_name.into_values().collect());
    };
    let mut folders = vec![root.to_owned()];
    while let Some(next) = folders.pop() {
        let fail = |source| ConfigError::Read { path: next.clone(), source };
        for entry in std::fs::read_dir(&next).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if wanted(&path) {
                let text = std::fs::read_to_string(&path)
                    .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
                let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
                by_name.insert(name, ContentFile { path, text });
            }
        }
    }
    Ok(by_name.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_ones_own_takes_the_place_of_the_built_in_one_of_its_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let built_in = Content::load(None).expect("it is built in");
        let (rules, lists) = (built_in.detections.len(), built_in.watchlists.len());
        assert!(rules > 0 && lists > 0);
        std::fs::create_dir(folder.path().join("watchlists")).expect("made");
        for name in ["hosting_ranges.csv", "mine.csv", "notes.txt"] {
            std::fs::write(folder.path().join("watchlists").join(name), "SearchKey\nx\n").expect("written");
        }
        let content = Content::load(Some(folder.path())).expect("read");
        assert_eq!(content.detections.len(), rules);
        assert_eq!(content.watchlists.len(), lists + 1);
        assert!(content.watchlists.iter().any(|file| file.path.starts_with(folder.path())));
        assert!(Content::load(Some(&folder.path().join("nowhere"))).is_err());
    }
}
