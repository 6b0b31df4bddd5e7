//! What a person or a program sees: tables, JSON, CSV, progress.

mod output;
mod progress;

pub use output::{Format, Output, Sheet};
pub use progress::Progress;
