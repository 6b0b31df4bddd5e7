//! Requests that cost money.

use std::fmt;

use async_trait::async_trait;

/// Keeps count of requests that cost money, across runs and processes. The program gives it, because only the program
/// has a place where the count outlives a run.
#[async_trait]
pub trait Budget: fmt::Debug + Send + Sync {
    /// Takes one request out of a month's budget of `limit` before it is made, so that a crash can waste a request but
    /// never repeat one uncounted. `name` says whose budget (`aws_cost/111122223333`), `month` which (`2026-03`).
    async fn take(&self, name: &str, month: &str, limit: u32) -> Result<(), BudgetError>;
}

/// Why a request must not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// There is none left.
    #[error("all {limit} requests of {month} are used up")]
    UsedUp {
        /// The month.
        month: String,
        /// How many it had.
        limit: u32,
    },
    /// The count could not be kept; without it no money is spent.
    #[error("the count of requests cannot be kept: {0}")]
    NotKept(String),
}
