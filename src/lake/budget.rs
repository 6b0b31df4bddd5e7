//! Counts that must outlive a run and that two runs must not take twice, such as requests that cost money.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::Utc;
use provost_connectors::{Budget, BudgetError};

use super::{Lake, LakeError, Progress};

/// Request budgets kept in the lake, as application transactions of `Runs`.
#[derive(Debug)]
pub struct LakeBudget(Arc<Lake>);

impl LakeBudget {
    /// Budgets of that lake.
    pub fn new(lake: Arc<Lake>) -> Self {
        Self(lake)
    }
}

#[async_trait]
impl Budget for LakeBudget {
    async fn take(&self, name: &str, month: &str, limit: u32) -> Result<(), BudgetError> {
        let not_kept = |error: LakeError| BudgetError::NotKept(error.to_string());
        let spec = Lake::spec("Runs").map_err(not_kept)?;
        let name = format!("budget/{name}/{month}");
        loop {
            let used = self.0.position(spec, &name).await.map_err(not_kept)?;
            let next = used.unwrap_or(0) + 1;
            if next > i64::from(limit) {
                return Err(BudgetError::UsedUp { month: month.to_owned(), limit });
            }
            let progress = Progress { name: name.clone(), position: next, expected: used, from: None };
            let append = self.0.append(spec, "budget", Utc::now()).await.map_err(not_kept)?;
            match append.commit(Some(progress)).await {
                Ok(_) => return Ok(()),
                // Somebody else took one at the same time: look again.
                Err(LakeError::Conflict { .. }) => {}
                Err(error) => return Err(not_kept(error)),
            }
        }
    }
}
