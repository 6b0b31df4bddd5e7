//! The bridges and the measures of rarity, as they ship or from a folder of the user's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Bridge, Measure};

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../../bridges/", $name)))),*] };
}

const BRIDGES: &[(&str, &str)] = files!(
    "account-resource.yaml",
    "account-spender.yaml",
    "address-created-by.yaml",
    "device-egress.yaml",
    "device-user.yaml",
    "domain-address.yaml",
    "key-owner.yaml",
    "person-role-session.yaml",
    "principal-created-by.yaml",
    "resource-address.yaml",
    "resource-created-by.yaml",
);
const RARITY: &str = include_str!("../../bridges/rarity.yaml");

/// What correlation asks the lake.
#[derive(Debug, Clone)]
pub struct Content {
    /// Pairs of entities that stand for one another.
    pub bridges: Vec<Bridge>,
    /// How common entities are.
    pub rarity: Vec<Measure>,
}

/// A content file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{file}: {problem}")]
    Wrong {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Content {
    /// What ships.
    pub fn built_in() -> Result<Self, ContentError> {
        let files = BRIDGES.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
        Self::parse(files, RARITY)
    }

    /// What ships, and the bridges of a folder; a bridge there replaces the one of its id.
    pub fn with_folder(folder: &Path) -> Result<Self, ContentError> {
        let mut content = Self::built_in()?;
        for (file, text) in yaml_files(folder)? {
            if file == "rarity.yaml" {
                content.rarity = measures(&file, &text)?;
            } else {
                let bridge = bridge(&file, &text)?;
                content.bridges.retain(|known| known.id != bridge.id);
                content.bridges.push(bridge);
            }
        }
        Ok(content)
    }

    fn parse(files: impl Iterator<Item = (String, String)>, rarity: &str) -> Result<Self, ContentError> {
        let bridges = files.map(|(file, text)| bridge(&file, &text)).collect::<Result<Vec<_>, _>>()?;
        let mut ids = BTreeSet::new();
        if let Some(twin) = bridges.iter().find(|bridge| !ids.insert(&bridge.id)) {
            let problem = "two bridges have this id".to_owned();
            return Err(ContentError::Wrong { file: twin.id.clone(), problem });
        }
        Ok(Self { bridges, rarity: measures("rarity.yaml", rarity)? })
    }
}

fn bridge(file: &str, text: &str) -> Result<Bridge, ContentError> {
    let bridge: Bridge = yaml(file, text)?;
    if !(0.0..=1.0).contains(&bridge.weight) {
        let problem = format!("weight {} is not between 0 and 1", bridge.weight);
        return Err(ContentError::Wrong { file: file.to_owned(), problem });
    }
    Ok(bridge)
}

fn measures(file: &str, text: &str) -> Result<Vec<Measure>, ContentError> {
    yaml(file, text)
}

/// Reads a content file, with a message that names it.
pub(crate) fn yaml<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, ContentError> {
    serde_saphyr::from_str(text)
        .map_err(|error| ContentError::Wrong { file: file.to_owned(), problem: error.to_string() })
}

/// The YAML files of a folder, by name.
pub(crate) fn yaml_files(folder: &Path) -> Result<Vec<(String, String)>, ContentError> {
    let read = |path: &Path, cause| ContentError::Read { path: path.to_owned(), cause };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|cause| read(folder, cause))? {
        let path = entry.map_err(|cause| read(folder, cause))?.path();
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if let Some(name) = path.file_name().filter(|_| yaml) {
            let text = std::fs::read_to_string(&path).map_err(|cause| read(&path, cause))?;
            files.push((name.to_string_lossy().into_owned(), text));
        }
    }
    files.sort();
    Ok(files)
}
