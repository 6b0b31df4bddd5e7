//! A table that has its strings in dictionaries answers as the same table of plain strings does.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::datasource::MemTable;
use provost_kql::{Column, Engine, EngineOptions, KqlType, MemoryCatalog, QueryOptions, Table};

const QUERIES: [&str; 18] = [
    "T | summarize count() by Host",
    "T | summarize count(), dcount(Port), Names = array_length(make_set(Name, 3)), min(Port), max(Port) by Host, Name",
    "T | distinct Host, Name",
    "T | summarize Names = dcount(Name), make_set_if(1, Name == 'x') by Host, bin(Port, 10)",
    "T | summarize Lowest = min(Name), Highest = max(Name), Any = countif(Name has 'x') by Host",
    "T | summarize count() by tolower(Host), Even = Port % 2 == 0",
    "T | summarize count() by Host, Port = toreal(Port)",
    "T | summarize make_list(Name) by Port | extend n = array_length(list_Name) | summarize sum(n) by Port",
    "T | where isempty(Name) | count",
    "T | where Name =~ 'X' or Host contains 'a1' | summarize count() by Name",
    "T | where Name != Host and Host in ('a1', 'b2') | project Host, Name, Both = strcat(Host, '/', Name)",
    "T | extend Long = strlen(Name), Other = iff(Host startswith 'a', Host, Name) | summarize sum(Long) by Other",
    "T | where Host matches regex '[ab][0-9]' | extend Digit = extract('([0-9])', 1, Host) | summarize count() by Digit",
    "T | sort by Host asc, Name asc, Port asc | extend Gap = iff(Host == prev(Host), Port - prev(Port), long(null)) | summarize sum(Gap) by Host",
    "T | where Port > 30 | join kind=leftanti (T | where Port == 3 | distinct Host, Name) on Host, Name | summarize count() by Host, Name",
    "let t = T | project Host, Name; union t, (t | take 0) | summarize count(), take_any(1) by Name",
    "T | summarize arg_max(Port, Host) by Name | project Name, Port",
    "T | project Value = todynamic(Name), Host | summarize count() by tostring(Value), Host",
];

/// Enough rows for several batches, of which no two have the same dictionary; some strings are null.
fn batches() -> Vec<[ArrayRef; 3]> {
    let batch = |start: i64| -> [ArrayRef; 3] {
        let rows = start..start + 700;
        let host = |n: i64| (n % 17 != 0).then(|| format!("{}{}", ["a", "b", "A"][(n % 3) as usize], n % 5));
        let name = |n: i64| (n % 11 != 0).then(|| ["x", "X", "y x", "", "{\"k\": 1}"][(n / 7 % 5) as usize]);
        [
            Arc::new(rows.clone().map(host).collect::<StringArray>()),
            Arc::new(rows.clone().map(name).collect::<StringArray>()),
            Arc::new(rows.map(|n| (n % 13 != 0).then_some(n % 97)).collect::<Int64Array>()),
        ]
    };
    (0..6).map(|n| batch(n * 531)).collect()
}

/// The strings in a dictionary that has values twice, and one that no row has. What is null has no value, or one that is
/// null.
fn in_dictionary(strings: &ArrayRef, null_value: bool) -> ArrayRef {
    let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let tidy = cast(strings, &kind).expect("a column");
    let tidy = tidy.as_any().downcast_ref::<DictionaryArray<Int32Type>>().expect("a column");
    let values = cast(tidy.values(), &DataType::Utf8).expect("a column");
    let values = values.as_any().downcast_ref::<StringArray>().expect("a column");
    let twice: StringArray =
        values.iter().chain(values).chain([Some("unused")]).chain(null_value.then_some(None)).collect();
    let count = i32::try_from(values.len()).expect("few values");
    let null = null_value.then_some(2 * count + 1);
    let keys = tidy.keys().iter().enumerate();
    let keys: Int32Array =
        keys.map(|(row, key)| key.map(|key| if row % 2 == 0 { key } else { key + count }).or(null)).collect();
    Arc::new(DictionaryArray::try_new(keys, Arc::new(twice)).expect("a column"))
}

fn catalog(dictionaries: bool) -> MemoryCatalog {
    let batches: Vec<RecordBatch> = batches()
        .into_iter()
        .map(|[host, name, port]| {
            let coded = |strings, null_value| match dictionaries {
                true => in_dictionary(&strings, null_value),
                false => strings,
            };
            let (host, name) = (coded(host, false), coded(name, true));
            RecordBatch::try_from_iter([("Host", host), ("Name", name), ("Port", port)]).expect("a column")
        })
        .collect();
    let fields = batches[0].schema();
    let fields: Vec<Field> =
        fields.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batches = batches
        .into_iter()
        .map(|batch| batch.with_schema(Arc::clone(&schema)).expect("a batch"))
        .collect::<Vec<_>>();
    let provider =
        MemTable::try_new(schema, batches.chunks(3).map(<[RecordBatch]>::to_vec).collect()).expect("a table");
    let column = |name: &str, kind| Column { name: name.to_owned(), kind, hidden: false, alias_of: None };
    let columns =
        vec![column("Host", KqlType::String), column("Name", KqlType::String), column("Port", KqlType::Long)];
    let mut catalog = MemoryCatalog::new();
    catalog.add("T", Table { columns, provider: Arc::new(provider) });
    catalog
}

async fn answer(engine: &Engine, dictionaries: bool, query: &str) -> Vec<String> {
    let catalog = Arc::new(catalog(dictionaries));
    let prepared = engine.prepare(catalog, query, &QueryOptions::default()).await;
    let result = prepared.unwrap_or_else(|error| panic!("{query}: {error}")).collect().await;
    let result = result.unwrap_or_else(|error| panic!("{query}: {error}"));
    let mut rows: Vec<String> = result.rows().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn dictionaries_change_no_answer() {
    for partitions in [1, 2, 3] {
        let options = EngineOptions { target_partitions: Some(partitions), ..EngineOptions::default() };
        let engine = Engine::new(options).expect("an engine");
        for query in QUERIES {
            let plain = answer(&engine, false, query).await;
            assert!(!plain.is_empty(), "{query}");
            assert_eq!(answer(&engine, true, query).await, plain, "{query} in {partitions} parts");
        }
    }
}

#[tokio::test]
async fn rows_are_grouped_and_strings_looked_at_by_their_dictionaries() {
    let engine = Engine::new(EngineOptions { target_partitions: Some(2), ..EngineOptions::default() })
        .expect("an engine");
    let query = "T | where Name has 'x' | summarize count(), dcount(Name) by Host, tolower(Name), Port";
    let prepared =
        engine.prepare(Arc::new(catalog(true)), query, &QueryOptions::default()).await.expect("it binds");
    let plan = prepared.explain().await.expect("it binds");
    assert!(plan.contains("DictionaryAggregateExec: by=[Host"), "{plan}");
    assert!(plan.contains("FilterExec: each(has("), "{plan}");
}
#[tokio::test]
async fn where_memory_ends_groups_are_given_out_early() {
    let options =
        EngineOptions { target_partitions: Some(2), memory_limit: Some(6 << 20), ..EngineOptions::default() };
    let (tight, roomy) =
        (Engine::new(options).expect("an engine"), Engine::new(EngineOptions::default()).expect("an engine"));
    let query = "T | extend n = range(0, 20) | mv-expand n to typeof(long) | extend k = Port * 31 + n
        | summarize count(), dcount(Name) by Host, k | summarize sum(count_), sum(dcount_Name), count() by Host";
    assert_eq!(answer(&tight, true, query).await, answer(&roomy, false, query).await);
}
