//! Runs a query from the command line: `query 'print 1 + 1'`.

use std::sync::Arc;

use provost_kql::{Engine, EngineOptions, MemoryCatalog, QueryOptions, text_value};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let query = std::env::args().nth(1).ok_or("a query is needed")?;
    let unoptimized = std::env::var_os("KQL_UNOPTIMIZED").is_some();
    let engine = Engine::new(EngineOptions { unoptimized, ..EngineOptions::default() })?;
    let prepared =
        match engine.prepare(Arc::new(MemoryCatalog::new()), &query, &QueryOptions::default()).await {
            Ok(prepared) => prepared,
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(1);
            }
        };
    if std::env::var_os("KQL_EXPLAIN").is_some() {
        println!("{}", prepared.explain().await?);
    }
    let result = prepared.collect().await?;
    let names: Vec<String> =
        result.columns.iter().map(|column| format!("{}:{}", column.name, column.kind)).collect();
    println!("{}", names.join(" | "));
    for batch in &result.batches {
        for row in 0..batch.num_rows() {
            let cells = result.columns.iter().zip(batch.columns());
            let cells: Vec<String> =
                cells.map(|(column, array)| text_value(array.as_ref(), row, column.kind)).collect();
            println!("{}", cells.join(" | "));
        }
    }
    Ok(())
}
