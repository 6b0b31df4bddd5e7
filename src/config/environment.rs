//! Settings by environment variable.

use toml::{Table, Value};

use super::ConfigError;

const PREFIX: &str = "PROVOST_";

/// Variables that are no settings of the file: options of the command line, and secrets, which are read where they
/// are used.
const OTHERS: &[&str] = &["CONFIG", "FORMAT", "LOG", "NOW", "SHARED", "AZURE_CLIENT_SECRET"];

/// Puts `PROVOST_A__B=value` over `a.b`. The value is read as TOML where it is TOML, else as text.
pub(super) fn overlay(
    table: &mut Table,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    for (name, value) in variables {
        let Some(path) = name.strip_prefix(PREFIX).filter(|path| !OTHERS.contains(path)) else { continue };
        let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let value = toml::from_str::<Table>(&format!("value = {value}"))
            .ok()
            .and_then(|mut parsed| parsed.remove("value"))
            .unwrap_or(Value::String(value));
        put(table, &keys, value).map_err(|message| ConfigError::Variable { name, message })?;
    }
    Ok(())
}

fn put(table: &mut Table, keys: &[String], value: Value) -> Result<(), String> {
    match keys {
        [] => Ok(()),
        [last] => {
            table.insert(last.clone(), value);
            Ok(())
        }
        [first, rest @ ..] => {
            match table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new())) {
                Value::Table(inner) => put(inner, rest, value),
                _ => Err(format!("'{first}' is a value, not a section")),
            }
        }
    }
}
