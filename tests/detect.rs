//! The shipped rules, and the promises of detection.

#[test]
fn placeholder() {}
