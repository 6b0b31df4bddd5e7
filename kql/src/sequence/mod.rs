//! Sequences of rows: the operator `scan` and the plugin `sequence_detect`.

mod detect;
mod machine;
mod scan;

pub(crate) use self::detect::Detect;
pub(crate) use self::scan::{Emit, Program, Sequences, Slot, Step};
