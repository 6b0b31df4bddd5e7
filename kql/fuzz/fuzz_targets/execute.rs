//! Whatever a query says, it runs within its limits of time and memory, and its rows can be written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use provost_kql_fuzz::{bench, options};

fuzz_target!(|text: &str| {
    let bench = bench();
    let result = bench.runtime.block_on(async {
        bench.engine.prepare(bench.catalog.clone(), text, &options()).await?.collect().await
    });
    match result {
        Ok(result) => result.rows().for_each(|row| assert_eq!(row.len(), result.columns.len())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
