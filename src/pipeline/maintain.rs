//! Keeping the lake small and quick.

use chrono::TimeDelta;

use super::Pipeline;
use crate::lake::{Compacted, Vacuumed};

/// How long files that no version needs any more are kept, for readers that began before.
pub const KEEP_FILES: TimeDelta = TimeDelta::days(7);

/// What maintenance did.
#[derive(Debug, Default)]
pub struct MaintainSummary {
    /// By table.
    pub compacted: Vec<Compacted>,
    /// By table.
    pub vacuumed: Vec<Vacuumed>,
}

impl Pipeline {
    /// Compacts every table and deletes files that are long out of use.
    pub async fn maintain(&self) -> anyhow::Result<MaintainSummary> {
        let mut summary = MaintainSummary::default();
        for spec in self.lake.existing(None).await? {
            summary.compacted.push(self.lake.compact(spec).await?);
            summary.vacuumed.push(self.lake.vacuum(spec, KEEP_FILES, false).await?);
        }
        Ok(summary)
    }
}
