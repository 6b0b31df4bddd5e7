//! The plugins that `evaluate` calls, for binding, documentation and completion.

use crate::reference::FunctionInfo;

const fn plugin(
    name: &'static str,
    signature: &'static str,
    about: &'static str,
    example: (&'static str, &'static str),
) -> FunctionInfo {
    FunctionInfo { name, aliases: &[], signature, about, example }
}

/// The plugins. An example is over a table `T`, and its value is the first row of what it gives.
pub(crate) const PLUGINS: &[FunctionInfo] = &[
    plugin(
        "active_users_count",
        "(id: column, time: column, start: any, end: any, window: any, slot: any, least: long, step: any, [dimension: column], ...)",
        "For each period, how many ids have been there in at least so many slots of the window that ends in one of theirs.",
        (
            "range n from 0 to 5 step 1 | project id = n % 2, t = datetime(2026-01-01) + n * 12h | evaluate active_users_count(id, t, datetime(2026-01-01), datetime(2026-01-03), 2d, 1d, 2, 1d)",
            "2026-01-02T00:00:00Z, 2",
        ),
    ),
    plugin(
        "activity_counts_metrics",
        "(id: column, time: column, start: any, end: any, step: any, [dimension: column], ...)",
        "For each period, its rows, its ids, those of them that no period before had, and all ids up to it.",
        (
            "range n from 0 to 5 step 1 | project id = n % 2, t = datetime(2026-01-01) + n * 12h | evaluate activity_counts_metrics(id, t, datetime(2026-01-01), datetime(2026-01-03), 1d)",
            "2026-01-01T00:00:00Z, 2, 2, 2, 2",
        ),
    ),
    plugin(
        "activity_engagement",
        "(id: column, time: column, start: any, end: any, inner: any, outer: any, [dimension: column], ...)",
        "For each inner period, its ids, those of the outer period that ends with it, and the ratio of the two.",
        (
            "range n from 0 to 5 step 1 | project id = n % 2, t = datetime(2026-01-01) + n * 12h | evaluate activity_engagement(id, t, datetime(2026-01-01), datetime(2026-01-03), 1d, 2d)",
            "2026-01-01T00:00:00Z, 2, 2, 1",
        ),
    ),
    plugin(
        "activity_metrics",
        "(id: column, time: column, start: any, end: any, step: any, [dimension: column], ...)",
        "For each period, its ids, those that the period before had not, and of the ids of the period before the shares that came \
         back and that did not.",
        (
            "range n from 0 to 5 step 1 | project id = n % 2, t = datetime(2026-01-01) + n * 12h | evaluate activity_metrics(id, t, datetime(2026-01-01), datetime(2026-01-03), 1d)",
            "2026-01-01T00:00:00Z, 2, 2, NaN, NaN",
        ),
    ),
    plugin(
        "autocluster",
        "([size_weight: real], [weight: column], [seeds: long], [wildcard: any], ...)",
        "The few patterns of values that say most about the rows. From each of the most frequent values (25 of them) a \
         pattern grows by the value that betters its score most: the geometric mean, weighted by `size_weight` (0.5), of its \
         share of the rows and its share of the columns. Of those found, best first, one stays if half its rows are new. \
         `'~'` leaves an argument to its default; a wildcard stands for any value in columns of its type.",
        ("T | project s | evaluate autocluster(0.5, '~', '~', '*')", "0, 2, 66.66666666666667, n1"),
    ),
    plugin(
        "bag_unpack",
        "(bag: dynamic, [prefix: string], [columns_conflict: string], [ignored: dynamic])",
        "A column for each key of the bags.",
        ("print d = dynamic({'a': 1, 'b': 'x'}) | evaluate bag_unpack(d)", "1, x"),
    ),
    plugin(
        "basket",
        "([threshold: real], [weight: column], [max_dimensions: long], [wildcard: any], ...)",
        "All patterns of values that a share of the rows has, by default 0.05. Patterns of the same rows are one, with all \
         that these rows share; of the columns that it does not merely imply it has at most 5.",
        ("T | project s | evaluate basket(0.5)", "0, 2, 66.66666666666667, n1"),
    ),
    plugin(
        "dcount_intersect",
        "(hll: dynamic, hll: dynamic, ...)",
        "How many values the first of what `hll()` gave has, the first two have in common, the first three, and so on: \
         columns `s0`, `s1` …",
        (
            "range x from 1 to 12 step 1 | summarize even = hll_if(x, x % 2 == 0), all = hll(x) \
             | evaluate dcount_intersect(all, even) | project s0, s1",
            "12, 6",
        ),
    ),
    plugin(
        "diffpatterns",
        "(split: column, a: any, b: any, [weight: column], [threshold: real], [max_dimensions: long], [wildcard: any], ...)",
        "Patterns whose shares of the rows differ between two sets, those in which a column has the one value and the other, \
         by at least a threshold, by default 0.05. A pattern grows from a value by the value that widens the difference most; \
         of those found, best first, one stays if half its rows are new.",
        (
            "T | extend late = iff(x > 1, 'yes', 'no') | project s, late | evaluate diffpatterns(late, 'yes', 'no')",
            "0, 1, 1, 50, 100, 50, n1, ",
        ),
    ),
    plugin(
        "ipv4_lookup",
        "(table: table, address: column, range: column, [key: column], ..., [return_unmatched: bool])",
        "The rows of another table whose range of addresses holds the row's address.",
        (
            "print a = '192.0.2.7' | evaluate ipv4_lookup((datatable(range:string, net:string)['192.0.2.0/24', 'doc']), a, range)",
            "192.0.2.7, 192.0.2.0/24, doc",
        ),
    ),
    plugin(
        "ipv6_lookup",
        "(table: table, address: column, range: column, [key: column], ..., [return_unmatched: bool])",
        "The same for addresses of both kinds.",
        (
            "print a = '2001:db8::7' | evaluate ipv6_lookup((datatable(range:string, net:string)['2001:db8::/32', 'doc']), a, range)",
            "2001:db8::7, 2001:db8::/32, doc",
        ),
    ),
    plugin(
        "narrow",
        "()",
        "A row for each cell: the number of its row, its column and its value as text.",
        ("print a = 5 | evaluate narrow()", "0, a, 5"),
    ),
    plugin(
        "new_activity_metrics",
        "(id: column, time: column, start: any, end: any, step: any, [cohort: any], [dimension: column], ..., [earlier: table])",
        "For each cohort, the ids that come up first in a period, and each period from there on: how many ids are new since the \
         cohort, how many of the cohort are there and how many are not, and their shares. Ids of the table are never new.",
        (
            "range n from 0 to 5 step 1 | project id = n % 2, t = datetime(2026-01-01) + n * 12h | evaluate new_activity_metrics(id, t, datetime(2026-01-01), datetime(2026-01-03), 1d)",
            "2026-01-01T00:00:00Z, 2026-01-01T00:00:00Z, 2, 2, 0, 1, 0",
        ),
    ),
    plugin(
        "pivot",
        "(column: column, [aggregate: any], [key: column], ...)",
        "A column for each value of a column, with an aggregate over the rows that have it.",
        ("T | project s, x | evaluate pivot(s, sum(x))", "4, 2"),
    ),
    plugin(
        "rolling_percentile",
        "(value: column, percentile: number, time: column, step: any, periods: long, [dimension: column], ...)",
        "For each period, a percentile of the values of the so many periods that end with it.",
        ("range n from 1 to 6 step 1 | evaluate rolling_percentile(n, 50, n, 2, 2)", "0, 1"),
    ),
    plugin(
        "rows_near",
        "(condition: bool, rows: long, [rows_after: long])",
        "The rows that have one for which the condition holds within so many rows after them, or before them.",
        ("T | sort by x asc | project x | evaluate rows_near(x == 3, 1)", "2"),
    ),
    plugin(
        "sequence_detect",
        "(time: column, step_window: timespan, span: timespan, step: bool, ..., [dimension: column], ...)",
        "All ways through steps that are met one after the other, each strictly later than the one before and no more than \
         `step_window` later, the last no more than `span` after the first, among rows with the same dimensions.",
        (
            "range x from 1 to 3 step 1 | extend t = datetime(2026-01-01) + x * 1h \
             | evaluate sequence_detect(t, 2h, 3h, first = x == 1, then = x == 3)",
            "2026-01-01T01:00:00Z, 2026-01-01T03:00:00Z, 02:00:00",
        ),
    ),
    plugin(
        "session_count",
        "(id: column, time: column, start: any, end: any, step: any, window: any, [dimension: column], ...)",
        "For each period, how many sessions begin in it: rows whose id was not there within the window before.",
        (
            "range n from 0 to 5 step 1 | project id = n % 2, t = datetime(2026-01-01) + n * 12h | evaluate session_count(id, t, datetime(2026-01-01), datetime(2026-01-03), 1d, 1h)",
            "2026-01-01T00:00:00Z, 2",
        ),
    ),
    plugin(
        "sliding_window_counts",
        "(id: column, time: column, start: any, end: any, window: any, step: any, [dimension: column], ...)",
        "For each period, the rows and the ids of the window that ends with it.",
        (
            "range n from 0 to 5 step 1 | project id = n % 2, t = datetime(2026-01-01) + n * 12h | evaluate sliding_window_counts(id, t, datetime(2026-01-01), datetime(2026-01-03), 2d, 1d)",
            "2026-01-01T00:00:00Z, 2, 2",
        ),
    ),
];

/// Plugins of Kusto that are known and not here, and why.
pub(crate) fn refused(name: &str) -> Option<&'static str> {
    Some(match name {
        "funnel_sequence" | "funnel_sequence_completion" => "`sequence_detect` and `scan` find sequences",
        "preview" => "it gives several tables; use `take` and `count`",
        "python" | "r" | "csharp" => "it would run code of another language",
        "ai_chat_completion" | "ai_chat_completion_prompt" | "ai_embed_text" | "ai_embeddings" => {
            "it would send data to a language model"
        }
        "sql_request"
        | "mysql_request"
        | "postgresql_request"
        | "cosmosdb_sql_request"
        | "http_request"
        | "http_request_post"
        | "azure_digital_twins_query_request"
        | "dax_request"
        | "execute_query"
        | "execute_show_command"
        | "external_datatable" => "it would call another service",
        _ => return None,
    })
}
