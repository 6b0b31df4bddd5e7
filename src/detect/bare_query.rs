//! Hunting queries that are nothing but KQL, as the public repositories have some, read as the rules they stand for.

use std::path::Path;

use super::yaml::{Node, Yaml};

/// Whether a file's name says that it is KQL.
pub(super) fn is_kql_file(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("kql") || end.eq_ignore_ascii_case("csl"))
}

/// The hunting rule that a file of mere KQL stands for: its id and name are the file's, its description the comment that
/// it begins with, if it does. None where the text is not KQL.
pub(super) fn as_hunting_rule(path: &Path, text: &str) -> Option<Node> {
    let text = text.trim_start_matches('\u{feff}');
    provost_kql::parse(text).ok()?;
    let name = path.file_stem()?.to_string_lossy().into_owned();
    let comment = text.lines().map_while(|line| line.trim().strip_prefix("//"));
    let description: Vec<&str> = comment.map(str::trim).collect();
    let entry = |key: &str, value: String| (key.to_owned(), Node { line: 1, value: Yaml::Text(value) });
    let mut entries = vec![entry("id", name.clone()), entry("name", name), entry("query", text.to_owned())];
    if !description.is_empty() {
        entries.push(entry("description", description.join("\n")));
    }
    Some(Node { line: 1, value: Yaml::Map(entries) })
}

#[cfg(test)]
mod tests {
    use crate::detect::{RuleFile, RuleKind};
    use std::path::Path;

    const QUERY: &str =
        "// Logons by night\n// and who made them\nSigninLogs\n| where hourofday(TimeGenerated) < 5\n";

    #[test]
    fn a_file_of_mere_kql_is_a_hunting_query_named_for_the_file() {
        for file in ["hunts/night-logons.kql", "hunts/night-logons.yaml"] {
            let file = RuleFile::parse(Path::new(file), QUERY);
            let rule = file.rule().expect("a rule");
            assert_eq!((rule.id.as_str(), rule.name.as_str()), ("night-logons", "night-logons"));
            assert_eq!((rule.kind, rule.query.as_str()), (RuleKind::Hunting, QUERY.trim()));
            assert_eq!(rule.description, "Logons by night\nand who made them");
        }
    }

    #[test]
    fn what_is_neither_yaml_nor_kql_is_told_as_what_its_name_says() {
        let problem = |file: &str, text: &str| {
            let file = RuleFile::parse(Path::new(file), text);
            file.result.expect_err("no rule")[0].to_string()
        };
        let typo = problem("a.kql", "T | wher x");
        assert!(typo.contains("there is no operator `wher`"), "{typo}");
        assert!(problem("a.yaml", "id: x\nid: [").contains("YAML"));
        assert!(problem("a.yaml", "id: x").contains("name"));
    }
}
