//! Any text is read or refused; what is read is printed, and the print is the same query.

#![no_main]

use libfuzzer_sys::fuzz_target;
use provost_kql::{FormatError, format_query, parse, print_query};

fuzz_target!(|text: &str| {
    let query = match parse(text) {
        Ok(query) => query,
        Err(faults) => {
            assert!(!faults.to_string().is_empty());
            return;
        }
    };
    let printed = print_query(&query);
    let again = parse(&printed).unwrap_or_else(|faults| panic!("{printed}\n{faults}"));
    assert!(again.same_but_for_spans(&query), "printed as another query:\n{printed}");
    assert_eq!(print_query(&again), printed);
    match format_query(text) {
        Ok(formatted) => match format_query(&formatted) {
            Ok(again) => assert_eq!(again, formatted),
            Err(error) => panic!("{formatted}\n{error}"),
        },
        // A comment may have no place, but then the user is told.
        Err(FormatError::Unsafe(faults)) => assert!(!faults.to_string().is_empty()),
        Err(FormatError::Syntax(faults)) => panic!("{faults}"),
    }
});
