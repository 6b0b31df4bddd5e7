//! Watchlists: CSV files that rules read by `_GetWatchlist('name of the file')`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use provost_kql::{CatalogError, Column, KqlType, MemoryCatalog, Table};
use serde_json::{Map, Value};

/// The column by which Sentinel's watchlists are searched.
const SEARCH_KEY: &str = "SearchKey";

/// Why a folder of watchlists could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WatchlistError {
    /// The file or folder cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file is no CSV with a header.
    #[error("{}: line {line}: {message}", path.display())]
    Csv {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
}

/// One watchlist: text columns, the first of which is the search key unless another one is called so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchlist {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Watchlist {
    /// Reads CSV with a header. Lines that begin with `#` are comments.
    pub fn read(text: &str, path: &Path) -> Result<Self, WatchlistError> {
        let fault = |line: u64, message: String| WatchlistError::Csv { path: path.to_owned(), line, message };
        let text = text.trim_start_matches('\u{feff}');
        let mut reader =
            csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes());
        let wrong = |error: csv::Error| {
            let line = error.position().map_or(0, csv::Position::line);
            fault(line, error.to_string())
        };
        let columns: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
        if columns.iter().all(String::is_empty) {
            return Err(fault(1, "has no header; the first line names the columns".to_owned()));
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            rows.push(record.map_err(wrong)?.iter().map(str::to_owned).collect());
        }
        Ok(Self { columns, rows })
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn columns(&self) -> Vec<Column> {
        let search_key = (!self.has_search_key()).then(|| SEARCH_KEY.to_owned());
        let names = search_key.into_iter().chain(self.columns.iter().cloned());
        names.map(|name| Column::new(name, KqlType::String)).collect()
    }

    fn has_search_key(&self) -> bool {
        self.columns.iter().any(|name| name == SEARCH_KEY)
    }

    fn json_rows(&self) -> Vec<Value> {
        let row = |cells: &Vec<String>| {
            let mut row: Map<String, Value> =
                self.columns.iter().cloned().zip(cells.iter().cloned().map(Value::String)).collect();
            if !self.has_search_key()
                && let Some(first) = cells.first()
            {
                row.insert(SEARCH_KEY.to_owned(), Value::String(first.clone()));
            }
            Value::Object(row)
        };
        self.rows.iter().map(row).collect()
    }
}

/// The watchlists of a folder, by alias: the file's name without `.csv`.
#[derive(Debug, Clone, Default)]
pub struct Watchlists(BTreeMap<String, Watchlist>);

impl Watchlists {
    /// Reads every `.csv` file of the folder; a folder that is not there holds none.
    pub fn load(folder: &Path) -> Result<Self, WatchlistError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |cause| WatchlistError::Read { path, cause }
        };
        let mut lists = BTreeMap::new();
        if !folder.exists() {
            return Ok(Self(lists));
        }
        for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
            let path = entry.map_err(unreadable(folder))?.path();
            let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
            let Some(alias) = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_csv) else {
                continue;
            };
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
            lists.insert(alias.to_owned(), Watchlist::read(&text, &path)?);
        }
        Ok(Self(lists))
    }

    /// Adds one, in place of another of the same alias.
    pub fn insert(&mut self, alias: String, list: Watchlist) {
        self.0.insert(alias, list);
    }

    /// The aliases.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The watchlist of that alias, whatever its case.
    pub fn get(&self, alias: &str) -> Option<&Watchlist> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(alias)).map(|(_, list)| list)
    }

    /// The watchlist as a table, for [`provost_kql::Catalog::watchlist`].
    pub async fn table(&self, alias: &str) -> Result<Option<Table>, CatalogError> {
        use provost_kql::Catalog;

        let Some(list) = self.get(alias) else { return Ok(None) };
        let mut catalog = MemoryCatalog::new();
        catalog.add_watchlist_json(alias, list.columns(), &list.json_rows())?;
        catalog.watchlist(alias).await
    }

    /// Adds all of them to a catalog in memory.
    pub fn add_to(&self, catalog: &mut MemoryCatalog) -> Result<(), CatalogError> {
        for (alias, list) in &self.0 {
            catalog.add_watchlist_json(alias, list.columns(), &list.json_rows())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_column_is_the_search_key() {
        let list =
            Watchlist::read("\u{feff}Suffix, Note\n# a comment\nduckdns.org ,\"a, b\"\n", Path::new("x.csv"));
        let list = list.expect("is CSV");
        assert_eq!(
            list.columns().iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
            ["SearchKey", "Suffix", "Note"]
        );
        assert_eq!(
            list.json_rows(),
            [serde_json::json!({"Suffix": "duckdns.org", "Note": "a, b", "SearchKey": "duckdns.org"})]
        );
    }

    #[test]
    fn a_ragged_line_is_named() {
        let error = Watchlist::read("A,B\n1,2\n3\n", Path::new("lists/x.csv")).expect_err("is ragged");
        assert!(error.to_string().starts_with("lists/x.csv: line 3:"), "{error}");
        assert!(Watchlist::read("", Path::new("x.csv")).is_err());
    }
}
