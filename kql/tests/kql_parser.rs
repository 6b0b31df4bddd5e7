//! The parser takes any text: it never panics, and its work grows with the text's length and no faster.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use provost_kql::{MAX_QUERY_BYTES, parse};

/// Far more than any text within the limit takes, and far less than one that is read over and over.
const LONGEST: Duration = Duration::from_secs(20);

fn quickly(query: &str) -> bool {
    let start = Instant::now();
    let read = parse(query).is_ok();
    let shown: String = query.chars().take(40).collect();
    assert!(start.elapsed() < LONGEST, "{} bytes took {:?}: {shown}", query.len(), start.elapsed());
    read
}

#[test]
fn deep_and_long_texts_are_read_or_refused_quickly() {
    let units = [
        "(",
        "[",
        "{",
        ")",
        "]",
        "}",
        "-",
        "+",
        "!",
        "|",
        ";",
        ",",
        ".",
        "a.",
        "a[",
        "f(",
        "dynamic(",
        "dynamic([",
        "dynamic({\"a\":",
        "datetime(",
        "long(",
        "(x: long) {",
        "let f = (",
        "let f = () {",
        "x |",
        "T | where (",
        "iff(true, ",
        "not(",
        "union (",
        "T | join (",
        "T | mv-apply x on (",
        "T | partition by x (",
        "T | fork (",
        "case(a, ",
        "'",
        "\"",
        "@\"",
        "```",
        "//",
        "a in (",
        "a between (",
        "a and ",
        "a == ",
        "a + ",
        "a has ",
        "1d ",
        "0x",
        "1e",
        "$left.",
        "hint.",
        "typeof(",
        "*",
        "a*",
        "é",
        "\u{0}",
        "\n",
    ];
    for unit in units {
        for length in [1 << 10, 1 << 17] {
            let text = unit.repeat(length / unit.len());
            quickly(&text);
            quickly(&format!("T | where {text}"));
        }
    }
}

#[test]
fn the_longest_text_of_brackets_is_refused_quickly() {
    assert!(!quickly(&"(".repeat(MAX_QUERY_BYTES)));
}

#[test]
fn long_pipes_and_lists_are_read() {
    let mut pipe = "T".to_owned();
    for index in 0..10_000 {
        let _ = write!(pipe, " | extend c{index} = {index}");
    }
    assert!(quickly(&pipe));
    let list: Vec<String> = (0..50_000).map(|index| format!("'{index}'")).collect();
    assert!(quickly(&format!("T | where s in ({})", list.join(", "))));
    let tests: Vec<String> = (0..20_000).map(|index| format!("a == {index}")).collect();
    assert!(quickly(&format!("T | where {}", tests.join(" or "))));
}

#[test]
fn a_text_beyond_the_limit_is_refused() {
    assert!(parse(&"x".repeat(MAX_QUERY_BYTES + 1)).is_err());
}

/// Pieces of queries, so that random ones come further than their first word.
const PIECES: &[&str] = &[
    "T",
    "x",
    "let",
    "=",
    ";",
    "|",
    "where",
    "extend",
    "project",
    "summarize",
    "count()",
    "by",
    "join",
    "kind=inner",
    "on",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    "..",
    "==",
    "!=",
    "=~",
    "!",
    "-",
    "+",
    "*",
    "/",
    "'a'",
    "\"b\"",
    "1",
    "2.5",
    "1d",
    "in",
    "!in",
    "has",
    "between",
    "and",
    "or",
    "not(",
    "dynamic(",
    "datetime(",
    "2026-01-02",
    "mv-expand",
    "mv-apply",
    "to",
    "typeof(long)",
    "union",
    "datatable",
    ":",
    "long",
    "string",
    "parse",
    "with",
    "make-series",
    "step",
    "from",
    "range",
    "print",
    "evaluate",
    "bag_unpack",
    "invoke",
    "top",
    "sort",
    "asc",
    "nulls",
    "first",
    "project-away",
    "$left",
    "iff(",
    "toscalar(",
    "materialize(",
    "view",
    "set",
    "declare",
    "query_parameters",
];

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_pieces_make_the_parser_panic(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60),
        blank in any::<bool>(),
    ) {
        if let Err(faults) = parse(&pieces.join(if blank { " " } else { "" })) {
            // Faults print whatever the text is.
            prop_assert!(!faults.to_string().is_empty());
        }
    }
}
