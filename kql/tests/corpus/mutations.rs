//! Queries that are nearly another query: each with one change, drawn from a seeded generator.

/// A small generator of numbers (SplitMix64): the same seed gives the same queries everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `count`, which is not zero.
    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % (count as u64)).expect("below a usize")
    }

    fn choice<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    Name,
    Number,
    Text,
    Punct,
}

/// A query's text cut into tokens, blanks and comments among them: joined they are the query again.
fn tokens(query: &str) -> Vec<(Kind, &str)> {
    let mut tokens = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = if first.is_whitespace() {
            (Kind::Blank, rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()))
        } else if rest.starts_with("//") {
            (Kind::Blank, rest.find('\n').unwrap_or(rest.len()))
        } else if first.is_ascii_digit() {
            (Kind::Number, rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len()))
        } else if let Some(length) = text_length(rest) {
            (Kind::Text, length)
        } else if first.is_ascii_alphabetic() || first == '_' || first == '$' {
            let after = rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            (Kind::Name, after.map_or(rest.len(), |after| after + 1))
        } else {
            const PAIRS: &[&str] = &["==", "=~", "!=", "!~", "<=", ">=", "=>", "..", "<>"];
            let pair = PAIRS.iter().any(|pair| rest.starts_with(pair));
            (Kind::Punct, if pair { 2 } else { first.len_utf8() })
        };
        tokens.push((kind, &rest[..length]));
        rest = &rest[length..];
    }
    tokens
}

/// The length of the string literal that a text begins with, if it begins with one.
fn text_length(text: &str) -> Option<usize> {
    let plain = text.strip_prefix(['h', 'H']).unwrap_or(text);
    for fence in ["```", "~~~"] {
        if let Some(inside) = plain.strip_prefix(fence) {
            let end = inside.find(fence).map_or(inside.len(), |end| end + fence.len());
            return Some(text.len() - inside.len() + end);
        }
    }
    let (verbatim, quoted) = match plain.strip_prefix('@') {
        Some(quoted) => (true, quoted),
        None => (false, plain),
    };
    let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let start = text.len() - quoted.len() + 1;
    let mut escaped = false;
    for (at, c) in text[start..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if !verbatim => escaped = true,
            c if c == quote => return Some(start + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// Operators to go on with; `@` stands for a column.
const TAILS: &[&str] = &[
    "count",
    "count as @",
    "distinct @",
    "distinct tostring(@), @",
    "extend @ = tostring(@)",
    "extend @ + 1",
    "extend @ * 2, @ / 3.5",
    "extend bin(@, 1)",
    "extend strcat(@, 'x'), strlen(@)",
    "extend tolower(@)",
    "extend toint(@), x = @",
    "extend x = iff(isempty(@), @, @)",
    "extend x = coalesce(@, @)",
    "extend x = case(@ == @, 1, 2)",
    "getschema",
    "join (print @ = 1) on @",
    "join kind=leftouter (print @ = 'x', y = 1) on $left.@ == $right.y",
    "lookup (print @ = 'x', y = 1) on @",
    "make-series count() on @ step 1d",
    "mv-apply @ on (count)",
    "mv-expand @",
    "mv-expand x = @ to typeof(long)",
    "parse @ with 'a' @ 'b' c: long",
    "project @, @",
    "project a = @, tostring(@)",
    "project @.a, @['b'], @[0]",
    "project-away @",
    "project-keep @, a*",
    "project-rename a = @",
    "project-reorder @",
    "sample-distinct 3 of @",
    "serialize prev(@)",
    "sort by @ desc, @ asc nulls first",
    "summarize arg_max(@, *) by @",
    "summarize arg_min(@, @), take_any(@)",
    "summarize avg(@), dcount(@) by bin(@, 1d)",
    "summarize by @, x = tostring(@)",
    "summarize count() by @",
    "summarize countif(@ > 1), percentile(@, 95), stdev(@)",
    "summarize make_set(@), make_list(@, 3), max(@), min(@)",
    "summarize sum(@) by @, @",
    "summarize x = sum(@) / count(), y = max(@) - min(@)",
    "top 3 by @",
    "top-hitters 2 of @ by @",
    "top-nested 2 of @ by max(@)",
    "union (print @ = 1)",
    "where * has 'x'",
    "where @ == 1",
    "where @ has 'a' or @ contains 'b'",
    "where @ in ('a', 'b')",
    "where @ between (1 .. 2)",
    "where @ > ago(1d)",
    "where isnotempty(@) and @ != @",
    "where @ matches regex 'a'",
    "where not(@ in~ ('a')) and @ !has 'x'",
];

/// What a value may be wrapped into.
const WRAPPERS: &[&str] = &[
    "tostring",
    "tolong",
    "todouble",
    "todatetime",
    "todynamic",
    "tobool",
    "toguid",
    "strlen",
    "tolower",
    "isempty",
    "isnull",
    "array_length",
    "parse_json",
    "abs",
    "not",
    "startofday",
    "bin",
    "count",
    "max",
    "make_set",
    "hourofday",
    "ipv4_is_private",
    "hash_sha256",
    "format_datetime",
    "totimespan",
];

/// Tokens that stand in each other's place.
const SWAPS: &[&[&str]] = &[
    &["==", "!=", "<", ">=", "=~", "!~", "=", "+", "-", "*", "/", "%", "<>"],
    &["has", "contains", "startswith", "endswith", "has_cs", "hasprefix", "in", "matches", "like"],
    &["and", "or", "by", "on", "asc", "desc", "of", "with"],
    &[
        "where",
        "extend",
        "project",
        "summarize",
        "distinct",
        "project-away",
        "sort",
        "order",
        "filter",
        "top",
    ],
    &["inner", "leftouter", "leftanti", "rightsemi", "fullouter", "innerunique", "outer", "leftsemi"],
    &["string", "long", "int", "datetime", "dynamic", "real", "bool", "timespan", "guid", "decimal", "text"],
    &["count", "sum", "max", "dcount", "make_set", "avg", "any", "take_any", "make_list", "arg_max"],
    &["(", "[", "{"],
    &[")", "]", "}"],
    &[",", ";", "|", "."],
];

/// A query with one change; `columns` are those that it gives, for operators that go on with them.
pub(super) fn mutated(query: &str, columns: &[String], random: &mut Random) -> String {
    let tokens = tokens(query);
    let solid: Vec<usize> = (0..tokens.len()).filter(|&at| tokens[at].0 != Kind::Blank).collect();
    let of = |kind| solid.iter().copied().filter(|&at| tokens[at].0 == kind).collect::<Vec<_>>();
    let (names, brackets) = (
        of(Kind::Name),
        solid
            .iter()
            .copied()
            .filter(|&at| matches!(tokens[at].1, "(" | ")" | "[" | "]" | "{" | "}"))
            .collect::<Vec<_>>(),
    );
    let mut texts: Vec<String> = tokens.iter().map(|(_, text)| (*text).to_owned()).collect();
    let way = random.below(16);
    let at = solid.get(random.below(solid.len().max(1))).copied();
    let name = names.get(random.below(names.len().max(1))).copied();
    match (way, at, name) {
        (0, Some(at), _) => texts[at].clear(),
        (1, Some(at), _) => texts[at] = format!("{0} {0}", texts[at]),
        (2, Some(at), _) => {
            let other = solid.iter().copied().find(|&other| other > at).unwrap_or(at);
            texts.swap(at, other);
        }
        (3, _, Some(name)) => texts[name].push('x'),
        (4, _, _) if !brackets.is_empty() => texts[brackets[random.below(brackets.len())]].clear(),
        // A literal of another type.
        (5, _, _) => {
            let literals: Vec<usize> = of(Kind::Text).into_iter().chain(of(Kind::Number)).collect();
            if !literals.is_empty() {
                let literal = literals[random.below(literals.len())];
                let values =
                    ["1", "2.5", "'text'", "1d", "true", "datetime(2026-01-02)", "dynamic([1])", "int(3)"];
                texts[literal] = random.choice(&values).to_owned();
            }
        }
        // One name in another's place.
        (6 | 7, _, Some(name)) => {
            let other = names[random.below(names.len())];
            texts[name] = tokens[other].1.to_owned();
        }
        (8, _, Some(name)) => texts[name] = format!("{}({})", random.choice(WRAPPERS), texts[name]),
        (9 | 10, Some(_), _) => {
            // A token for which there is another, and the other.
            let swappable: Vec<(usize, &[&str])> = solid
                .iter()
                .filter_map(|&at| {
                    SWAPS.iter().find(|group| group.contains(&tokens[at].1)).map(|group| (at, *group))
                })
                .collect();
            if !swappable.is_empty() {
                let (at, group) = swappable[random.below(swappable.len())];
                texts[at] = random.choice(group).to_owned();
            }
        }
        (_, _, Some(_)) => {
            let query = query.trim_end().trim_end_matches(';');
            let mut tail = String::new();
            for part in random.choice(TAILS).split_inclusive('@') {
                match part.strip_suffix('@') {
                    Some(before) => {
                        tail.push_str(before);
                        // Now and then a name that may be none.
                        match columns.get(random.below(columns.len() + 1)) {
                            Some(column) => tail.push_str(column),
                            None => tail.push_str(tokens[names[random.below(names.len())]].1),
                        }
                    }
                    None => tail.push_str(part),
                }
            }
            return format!("{query}\n| {tail}");
        }
        _ => {}
    }
    texts.concat()
}
