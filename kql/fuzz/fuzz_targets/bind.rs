//! Whatever a query says, it is bound or refused, in bounded time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use provost_kql_fuzz::{bench, options};

fuzz_target!(|text: &str| {
    let bench = bench();
    let prepared = bench.runtime.block_on(bench.engine.prepare(bench.catalog.clone(), text, &options()));
    if let Err(error) = prepared {
        assert!(!error.to_string().is_empty());
    }
});
