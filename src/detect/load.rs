//! Folders of rule files.

use std::path::{Path, PathBuf};

use super::bare_query::is_kql_file;
use super::parse::ParsedRule;
use super::rule::Rule;
use super::yaml::Problem;

/// The largest rule file that is read.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

/// A rule file, readable or not.
#[derive(Debug, Clone)]
pub struct RuleFile {
    /// Where it is.
    pub path: PathBuf,
    /// The rule, or every fault of the file.
    pub result: Result<ParsedRule, Vec<Problem>>,
}

impl RuleFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Self {
        Self { path: path.to_owned(), result: text(path).and_then(|text| Rule::parse_file(path, &text)) }
    }

    /// Reads the text of a file.
    pub fn parse(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), result: Rule::parse_file(path, text) }
    }

    /// The rule, where the file could be read.
    pub fn rule(&self) -> Option<&Rule> {
        self.result.as_ref().ok().map(|parsed| &parsed.rule)
    }
}

fn text(path: &Path) -> Result<String, Vec<Problem>> {
    let fault = |message: String| vec![Problem { line: 0, key: String::new(), message }];
    let size = std::fs::metadata(path).map_err(|error| fault(format!("cannot be read: {error}")))?.len();
    if size > LARGEST_FILE {
        return Err(fault(format!("is larger than {} MiB and is no rule", LARGEST_FILE >> 20)));
    }
    std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))
}

/// Reads all rule files of a folder and the folders in it, in order of their paths; a path of one file is that file.
///
/// Two files with one id are both kept out but the first: their findings could not be told apart.
pub fn load_rules(path: &Path) -> std::io::Result<Vec<RuleFile>> {
    let mut files: Vec<RuleFile> = rule_paths(path)?.iter().map(|path| RuleFile::read(path)).collect();
    for index in 1..files.len() {
        let Some(id) = files[index].rule().map(|rule| rule.id.clone()) else { continue };
        let twin = files[..index].iter().find(|file| file.rule().is_some_and(|rule| rule.id == id));
        if let Some(twin) = twin {
            let message =
                format!("'{id}' is also the id of {}; give one of them another", twin.path.display());
            files[index].result = Err(vec![Problem { line: 0, key: "id".to_owned(), message }]);
        }
    }
    Ok(files)
}

/// The rule files of a folder and the folders in it, in order of their paths; a path of one file is that file.
pub fn rule_paths(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    if path.is_dir() {
        collect(path, &mut paths)?;
    } else {
        std::fs::metadata(path)?;
        paths.push(path.to_owned());
    }
    paths.sort();
    Ok(paths)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, paths)?;
        } else if is_kql_file(&path) || is_yaml_file(&path) {
            paths.push(path);
        }
    }
    Ok(())
}

fn is_yaml_file(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml"))
}
