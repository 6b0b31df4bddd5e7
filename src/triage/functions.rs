//! What the queries of the playbooks and the ledger share: `let` blocks, of which a query gets those that it uses.

const FUNCTIONS: &str = include_str!("../../playbooks/functions.kql");

/// The query, led by the blocks whose names it uses.
pub fn with_functions(query: &str) -> String {
    let mut text = query.to_owned();
    // A block uses only blocks above it, so one pass from the last to the first finds them all.
    for block in FUNCTIONS.split("\n\n").collect::<Vec<_>>().into_iter().rev() {
        let Some(start) = block.find("let ") else { continue };
        let name = block[start + 4..].split_whitespace().next().unwrap_or_default();
        if uses(&text, name) {
            text = format!("{}\n{text}", &block[start..]);
        }
    }
    text
}

/// Whether the name stands in the text as a word.
fn uses(text: &str, name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(word) && !text[at + name.len()..].starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_gets_what_it_uses_and_no_more() {
        let text = with_functions("CreationsOfIncident | take 1");
        assert!(text.contains("let Creations =") && text.contains("let CreationsOfIncident ="), "{text}");
        assert!(!text.contains("HostingRanges") && !text.contains("Indicators"), "{text}");
        assert!(text.find("let Creations =") < text.find("let CreationsOfIncident ="));
        assert_eq!(with_functions("print 1"), "print 1");
    }
}
