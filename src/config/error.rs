//! What can be wrong with settings.

use std::path::{Path, PathBuf};

use provost_model::hint;

/// Wrong settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file with a mistake in it.
    #[error("{}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The mistake, with line and column.
        message: String,
    },
    /// A variable with a mistake in it.
    #[error("environment variable {name}: {message}")]
    Variable {
        /// Its name.
        name: String,
        /// The mistake.
        message: String,
    },
}

impl ConfigError {
    pub(super) fn toml(path: &Path, error: &toml::de::Error) -> Self {
        let mut message = error.to_string().trim_end().to_owned();
        if let Some(found) = nearest(error.message()) {
            message.push_str(&found);
        }
        Self::Content { path: path.to_owned(), message }
    }
}

/// The nearest of the names that serde expected: ``unknown field `x`, expected one of `a`, `b` ``.
fn nearest(message: &str) -> Option<String> {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown").then(|| names.next()).flatten()?;
    Some(hint(unknown, names)).filter(|hint| !hint.is_empty())
}
