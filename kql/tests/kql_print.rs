//! Queries back to text: the layout, that nothing is lost, and that the text is the same query.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use provost_kql::{FormatError, format_query, parse, print_query};
use support::{query_of, shared};

/// The print of a query, after making sure that it is the same query, and that the layout is stable.
fn checked(query: &str) -> String {
    let parsed = parse(query).unwrap_or_else(|faults| panic!("{query}\n{faults}"));
    let printed = print_query(&parsed);
    let again = parse(&printed).unwrap_or_else(|faults| panic!("{query}\nprinted as\n{printed}\n{faults}"));
    assert!(again.same_but_for_spans(&parsed), "{query}\nis printed as another query:\n{printed}");
    assert_eq!(print_query(&again), printed, "{query}\nis printed in two ways");
    let formatted = format_query(query).unwrap_or_else(|error| panic!("{query}\n{error}"));
    assert_eq!(format_query(&formatted).ok().as_deref(), Some(&*formatted), "{query}\nhas two layouts");
    printed
}

// ---- the layout, as data: a heading `## …`, a query, a line `----`, and how it is laid out ----

const RULE: &str = "----\n";

fn layouts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layout")
}

#[test]
fn queries_are_laid_out_as_the_cases_say() {
    let bless = std::env::var_os("PROVOST_BLESS").is_some();
    let mut wrong = String::new();
    for entry in fs::read_dir(layouts()).expect("the cases") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a file of cases");
        let mut blessed = String::new();
        for block in text.split("## ").skip(1) {
            let (title, rest) = block.split_once('\n').expect("a title");
            let (query, expected) = rest.split_once(RULE).unwrap_or((rest, ""));
            let given = match format_query(query) {
                Ok(formatted) => formatted,
                Err(error) => format!("error {}\n", error.to_string().lines().next().unwrap_or_default()),
            };
            if given.trim() != expected.trim() {
                let _ = write!(wrong, "{title}\n{query}\nexpected\n{expected}\ngiven\n{given}\n");
            }
            let _ = write!(blessed, "## {title}\n{query}{RULE}{given}\n");
        }
        if bless {
            fs::write(&path, blessed.trim_end().to_owned() + "\n").expect("the file is writable");
        }
    }
    assert!(bless || wrong.is_empty(), "{wrong}");
}

#[test]
fn brackets_stand_only_where_they_are_needed() {
    for (query, printed) in [
        ("print ((a + b)) * (c)", "print (a + b) * c\n"),
        ("print (a * b) + c", "print a * b + c\n"),
        ("print a - (b - c)", "print a - (b - c)\n"),
        ("print (a - b) - c", "print a - b - c\n"),
        ("print -(-a)", "print -(-a)\n"),
        ("print (a and b) or c", "print a and b or c\n"),
        ("print a and (b or c)", "print a and (b or c)\n"),
        ("print a and (b and c)", "print a and b and c\n"),
        ("print (a and b) and c", "print (a and b) and c\n"),
        ("print (a == b) == c", "print (a == b) == c\n"),
        ("print (a in (1)) == true", "print (a in (1)) == true\n"),
        ("print (a.b)[(1)].c", "print a.b[1].c\n"),
        ("print f((T | count))", "print f(T | count)\n"),
        ("print f((T | project a), b)", "print f((T | project a), b)\n"),
        ("(T | take 1) | count", "(T | take 1)\n| count\n"),
    ] {
        assert_eq!(checked(query), printed, "{query}");
    }
}

#[test]
fn names_and_strings_are_written_so_that_they_read_back() {
    for (query, printed) in [
        ("print ['a b'] = 1, ['by'] = 2, ['plain'] = 3", "print ['a b'] = 1, ['by'] = 2, plain = 3\n"),
        (r#"print @'c:\x', 'it''s'"#, "print \"c:\\\\x\", \"its\"\n"),
        ("print 'a\\u0001\\n\"'", "print \"a\\u0001\\n\\\"\"\n"),
        ("print ```a\nb```", "print \"a\\nb\"\n"),
        ("print 90m, 1.5d, time(-1:00:00), 0x1f, 1e3", "print 90m, 36h, timespan(-01:00:00), 31, 1000.0\n"),
        (
            "print datetime(2026-1-2), datetime(2026-01-02 03:04)",
            "print datetime(2026-01-02), datetime(2026-01-02T03:04:00Z)\n",
        ),
        (
            "print dynamic({'a':[1,-2.5,null,\"x\"]}), long(-9223372036854775808)",
            "print dynamic({\"a\": [1, -2.5, null, \"x\"]}), long(-9223372036854775808)\n",
        ),
    ] {
        assert_eq!(checked(query), printed, "{query}");
    }
}

#[test]
fn spelling_stays_as_it_is_where_a_text_is_formatted() {
    let query = "t|filter x<>0X1F and y notcontains h'z'|order by a|limit 0x5|mvexpand b to typeof(double)";
    let expected = "t\n| filter x <> 0X1F and y notcontains h'z'\n| order by a\n| limit 0x5\n| mvexpand b to typeof(double)\n";
    assert_eq!(format_query(query).ok().as_deref(), Some(expected));
}

#[test]
fn what_cannot_be_kept_is_refused_where_it_stands() {
    // A literal is one piece, and a comment in it cannot be moved out.
    let error = format_query("print f(typeof( // which?\n long))").expect_err("a lost comment");
    assert!(matches!(error, FormatError::Unsafe(_)), "{error}");
    assert!(error.to_string().contains("comment") && error.to_string().contains("line 1"), "{error}");
    let error = format_query("T | whree x").expect_err("no query");
    assert!(matches!(&error, FormatError::Syntax(_)) && error.to_string().contains("where"), "{error}");
}

#[test]
fn long_and_deep_queries_are_printed_quickly() {
    let start = std::time::Instant::now();
    let tests: Vec<String> = (0..20_000).map(|index| format!("a == {index}")).collect();
    let list: Vec<String> = (0..20_000).map(|index| format!("'{index}'")).collect();
    let mut pipe = "T".to_owned();
    for index in 0..2_000 {
        let _ = writeln!(pipe, " | extend c{index} = {index} // {index}");
    }
    let open = "(x and ".repeat(40);
    for query in [
        format!("T | where {}", tests.join(" or ")),
        format!("T | where s in ({})", list.join(", ")),
        format!("print dynamic([{}])", list.join(", ")),
        format!("T | where {open} y {}", ")".repeat(40)),
        pipe,
    ] {
        checked(&query);
    }
    // As deep as the parser goes.
    for (open, core, close) in [
        ("(x or ", "y", ")"),
        ("f(", "y", ")"),
        ("-(", "y", ")"),
        ("x[", "y", "]"),
        ("x + (", "y", ")"),
        ("toscalar(T | where ", "y", ")"),
        ("x in (T | join (U | where ", "y", ") on k)"),
        ("dynamic([", "1", "])"),
    ] {
        let nested = |depth: usize| {
            if open.starts_with("dynamic") {
                format!("print dynamic({}1{})", "[".repeat(depth), "]".repeat(depth))
            } else {
                format!("T | where {}{core}{}", open.repeat(depth), close.repeat(depth))
            }
        };
        let deepest = (1..200).map(nested).take_while(|query| parse(query).is_ok()).last();
        checked(&deepest.expect("one level is never too deep"));
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(60), "{:?}", start.elapsed());
}

// ---- the corpora ----

/// The queries of a file: the cases of this crate.
fn queries_of_cases() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut queries = Vec::new();
    for entry in fs::read_dir(folder).expect("the cases") {
        let text = fs::read_to_string(entry.expect("a file").path()).expect("a file of cases");
        for block in text.split("## ").skip(1) {
            let (_, rest) = block.split_once('\n').expect("a title");
            queries.push(rest.split(RULE).next().unwrap_or_default().to_owned());
        }
    }
    queries
}

#[test]
fn every_query_at_hand_is_printed_as_itself() {
    let mut queries = queries_of_cases();
    if let Some(folder) = shared("corpora/sentinel-rules") {
        for entry in fs::read_dir(folder).expect("the folder is readable") {
            let path = entry.expect("a file").path();
            if path.extension().is_some_and(|end| end == "yaml") {
                let text = fs::read_to_string(path).expect("the rule is readable");
                queries.push(query_of(&text));
            }
        }
    }
    if let Some(path) = shared("corpora/kql-docs/examples.jsonl") {
        for line in fs::read_to_string(path).expect("the corpus is readable").lines() {
            let example: serde_json::Value = serde_json::from_str(line).expect("JSON");
            queries.push(example["query"].as_str().unwrap_or_default().to_owned());
        }
    }
    let mut printed = 0;
    for query in queries.iter().filter(|query| parse(query).is_ok()) {
        checked(query);
        printed += 1;
    }
    println!("{printed} of {} queries are KQL, and all are printed as themselves", queries.len());
    assert!(printed > 100);
}

// ---- queries from a grammar ----

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-d][a-z0-9_]{0,3}x",
        1 => Just("['a b']".to_owned()),
        1 => Just("['by']".to_owned()),
        1 => Just("['it\\'s']".to_owned()),
    ]
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| format!("long({number})")),
        any::<f64>()
            .prop_filter("a number", |real| real.is_finite())
            .prop_map(|real| format!("real({real:e})")),
        "[a-z\\\\\"'\\n\\té🦀]{0,6}".prop_map(|text| {
            let text = text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
            format!("\"{text}\"")
        }),
        "[a-z\"\\\\]{0,5}".prop_map(|text| format!("@'{text}'")),
        (0..1000_i64, "d|h|m|s|ms|tick").prop_map(|(count, unit)| format!("{count}{unit}")),
        (any::<i64>(), 0..24_i64)
            .prop_map(|(days, hour)| format!("timespan({}.{hour:02}:00:00)", days % 10_000)),
        (1..9999_u32, 1..12_u32, 0..10_000_000_u32).prop_map(|(year, month, ticks)| format!(
            "datetime({year:04}-{month:02}-03T04:05:06.{ticks:07}Z)"
        )),
        "bool|int|long|real|decimal|datetime|timespan|guid|dynamic".prop_map(|kind| format!("{kind}(null)")),
        Just("dynamic({\"a\": [1, {\"b\": -2.5}], 'c': datetime(2026-01-02)})".to_owned()),
        Just("guid(6f3b0c52-1d0e-4c55-9a5c-0c2f4a1c7b11)".to_owned()),
        Just("true".to_owned()),
    ]
}

/// Expressions with brackets as they come, needed or not.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![name(), literal()];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let binary = prop::sample::select(vec![
            "and",
            "or",
            "==",
            "!=",
            "<",
            ">=",
            "+",
            "-",
            "*",
            "/",
            "%",
            "=~",
            "!~",
            "has",
            "!contains_cs",
            "startswith",
            "matches regex",
        ]);
        prop_oneof![
            4 => (inner.clone(), binary, inner.clone())
                .prop_map(|(left, op, right)| format!("(({left}) {op} ({right}))")),
            2 => (inner.clone(), prop::sample::select(vec!["and", "or"]), inner.clone(), inner.clone())
                .prop_map(|(a, op, b, c)| format!("({a}) {op} ({b}) {op} ({c})")),
            1 => inner.clone().prop_map(|value| format!("-({value})")),
            1 => (name(), inner.clone()).prop_map(|(base, index)| format!("{base}[({index})].y")),
            2 => prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|args| format!("f({})", args.join(","))),
            1 => prop::collection::vec(inner.clone(), 3..6)
                .prop_map(|args| format!("case({})", args.join(" ,"))),
            1 => (inner.clone(), prop::collection::vec(inner.clone(), 1..4), "in|!in|in~|has_any")
                .prop_map(|(value, items, op)| format!("({value}) {op} ({})", items.join(", "))),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(value, low, high)| format!("({value}) !between (({low}) .. ({high}))")),
            1 => inner.clone().prop_map(|value| format!("toscalar((T|where {value}|count))")),
        ]
    })
}

fn operator() -> impl Strategy<Value = String> {
    let pair = || (name(), expression()).prop_map(|(name, value)| format!("{name}={value}"));
    let pairs = || prop::collection::vec(pair(), 1..4).prop_map(|list| list.join(","));
    let names = || prop::collection::vec(name(), 1..4).prop_map(|list| list.join(", "));
    prop_oneof![
        expression().prop_map(|test| format!("where {test}")),
        pairs().prop_map(|list| format!("extend {list}")),
        pairs().prop_map(|list| format!("project {list}")),
        names().prop_map(|list| format!("project-away {list}, e*")),
        names().prop_map(|list| format!("project-reorder {list} granny-desc")),
        (pairs(), names()).prop_map(|(list, by)| format!("summarize hint.shufflekey=k {list} by {by}")),
        names().prop_map(|by| format!("summarize by {by}")),
        names().prop_map(|list| format!("distinct {list}")),
        (expression(), "asc|desc| nulls first|desc nulls last")
            .prop_map(|(key, direction)| format!("sort by {key} {direction}")),
        (name(), names()).prop_map(|(right, on)| format!("join kind=leftanti ({right}|take 5) on {on}")),
        (name(), name()).prop_map(|(a, b)| format!("lookup {a} on $left.l == $right.r, {b}")),
        names().prop_map(|tables| format!("union isfuzzy=true {tables}, (U|count)")),
        (name(), expression())
            .prop_map(|(name, value)| format!("mv-expand {name}={value} to typeof(long) limit 5")),
        (name(), operator_in_pipe()).prop_map(|(name, op)| format!("mv-apply {name} on ({op}|take 1)")),
        (name(), name()).prop_map(|(input, column)| format!(
            "parse kind=regex {input} with * \"a\\n\" {column}:long 'b' *"
        )),
        expression()
            .prop_map(|step| format!("make-series c=count() default=0 on t from 1 to 2 step {step} by x")),
        (name(), operator_in_pipe())
            .prop_map(|(by, op)| format!("partition hint.strategy=native by {by} ({op})")),
        expression().prop_map(|test| format!(
            "scan declare (n:long=0) with (step s1 output=last: {test} => n=s1.n+1;)"
        )),
        (names(), expression()).prop_map(|(of, by)| format!("top 5 by f({of}, {by}) asc")),
        expression().prop_map(|by| format!(
            "top-nested 3 of a by {by} desc, top-nested of b with others='o' by m=max(c)"
        )),
        Just("fork p=(count) (take 5)".to_owned()),
        Just("evaluate bag_unpack(d, 'p_') : (*, a:long)".to_owned()),
        Just("parse-kv s as (a:long, b:string) with (pair_delimiter=',')".to_owned()),
        Just("render timechart with (title='x', ycolumns=a, b)".to_owned()),
        Just("facet by a, b with (count)".to_owned()),
        Just("getschema".to_owned()),
        Just("as hint.materialized=true X".to_owned()),
    ]
}

fn operator_in_pipe() -> impl Strategy<Value = String> {
    expression().prop_map(|test| format!("where {test}"))
}

fn query() -> impl Strategy<Value = String> {
    let pipe = || {
        let source = prop_oneof![
            name(),
            Just("datatable(a:long, b:string)[1,'x',2,'y']".to_owned()),
            Just("range x from 1 to 10 step 1".to_owned()),
            Just("union withsource=W A, B*".to_owned()),
            Just("find in (A, B) where a == 1 project a:long, b".to_owned()),
            Just("search in (A) 'x' and b > 1".to_owned()),
            expression().prop_map(|value| format!("print x={value}")),
        ];
        (source, prop::collection::vec(operator(), 0..4)).prop_map(|(source, operators)| {
            operators.iter().fold(source, |pipe, operator| format!("{pipe}|{operator}"))
        })
    };
    let statement = prop_oneof![
        (name(), pipe()).prop_map(|(name, pipe)| format!("let {name}={pipe};")),
        (name(), pipe())
            .prop_map(|(name, pipe)| format!("let {name}=(T:(a:long,b:string),n:long=5){{let y=n;{pipe}}};")),
        (name(), expression()).prop_map(|(name, value)| format!("let {name}={value};")),
        Just("set querytrace;declare query_parameters(a:string='x');".to_owned()),
        Just("let f=view(){print 1};".to_owned()),
    ];
    (prop::collection::vec(statement, 0..3), pipe())
        .prop_map(|(statements, pipe)| statements.concat() + &pipe)
}

/// The same query with comments and line breaks between its lines' ends and beginnings.
fn commented(query: &str, every: usize) -> String {
    let mut text = String::new();
    for (index, piece) in query.split_inclusive([',', '|', ';']).enumerate() {
        text.push_str(piece);
        // A comma or bar within a string or a regular expression is none of the query's.
        if index % every == 0
            && parse(&format!("{text} // c{index}\n{}", &query[text_len(query, index)..])).is_ok()
        {
            let _ = write!(text, " // c{index}\n// d{index}\n");
        }
    }
    if parse(&text).is_ok_and(|parsed| parse(query).is_ok_and(|plain| plain.same_but_for_spans(&parsed))) {
        text
    } else {
        query.to_owned()
    }
}

/// The bytes of the first pieces of a query, up to the one of this number.
fn text_len(query: &str, index: usize) -> usize {
    query.split_inclusive([',', '|', ';']).take(index + 1).map(str::len).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_query_is_printed_as_itself(query in query()) {
        checked(&query);
    }

    #[test]
    fn no_comment_is_lost(query in query(), every in 1..4_usize) {
        let query = commented(&query, every);
        let formatted = format_query(&query).unwrap_or_else(|error| panic!("{query}\n{error}"));
        prop_assert_eq!(formatted.matches("//").count(), query.matches("//").count());
        prop_assert_eq!(format_query(&formatted).ok(), Some(formatted));
    }
}
