//! Sentences with names to fill in. Plain text in, plain text out: what may not act where it is shown is made inert
//! there.

use serde_json::Value;

/// How many values of a list are named in a sentence.
const NAMED: usize = 5;
/// How much of one value is shown.
const LONGEST: usize = 160;

/// The template with each `{Name}` replaced. A name that nothing is known of shows as `(unknown)`, one whose value is
/// empty as nothing.
pub(crate) fn fill(template: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        let value = value_of(name).unwrap_or_else(|| "(unknown)".to_owned());
        out.push_str(&value);
        // `to {RemoteIP} {RemoteUrl} over` has no hole where there is no name.
        rest = if value.is_empty() { after.strip_prefix(' ').unwrap_or(after) } else { after };
    }
    out.push_str(rest);
    out
}

/// The names that a template asks for.
pub(crate) fn names(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name))
}

/// A value as text, cut where it is long.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => shortened(text),
        Value::Array(values) => list(values.iter().map(plain)),
        Value::Number(number) => match number.as_f64() {
            Some(real) if number.is_f64() => ((real * 100.0).round() / 100.0).to_string(),
            _ => number.to_string(),
        },
        other => shortened(&other.to_string()),
    }
}

/// The first values and how many more there are.
pub(crate) fn list(values: impl IntoIterator<Item = String>) -> String {
    list_of(NAMED, values)
}

/// As [`list`], with so many values named.
pub(crate) fn list_of(named: usize, values: impl IntoIterator<Item = String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for value in values {
        if !value.is_empty() && !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    let more = distinct.len().saturating_sub(named);
    let named = distinct.iter().take(named).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_once_and_content_is_not_read_as_a_template() {
        let filled = fill("{A} and {B} {", |name| (name == "A").then(|| "{B}".to_owned()));
        assert_eq!(filled, "{B} and (unknown) {");
        assert_eq!(
            fill("to {A} {B} over", |name| Some(if name == "A" { "x" } else { "" }.to_owned())),
            "to x over"
        );
        assert_eq!(names("{A} and {B} {").collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn lists_name_a_few_and_count_the_rest() {
        assert_eq!(list(["a", "b", "a", ""].map(str::to_owned)), "a, b");
        assert_eq!(list((0..7).map(|n| n.to_string())), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(plain(&serde_json::json!(0.3333)), "0.33");
        assert_eq!(plain(&"é".repeat(200).into()).chars().count(), LONGEST + 1);
    }
}
