//! Provost.
fn main() {}
