//! What a person or a program sees: tables, charts, JSON, CSV, Parquet, progress.

mod chart;
mod output;
mod progress;
mod rows;

pub use chart::Chart;
pub use output::{Format, Output, Sheet, width};
pub use progress::Progress;
pub use rows::{RowFormat, RowWriter};
