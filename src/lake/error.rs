//! What can go wrong with the lake.

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::{CommitConflictError, TransactionError};

/// Why the lake could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// No such table.
    #[error("there is no table '{name}'{hint}")]
    UnknownTable {
        /// What was asked for.
        name: String,
        /// The nearest name, if any.
        hint: String,
    },
    /// The place cannot be used.
    #[error("the lake at {location} cannot be used: {reason}")]
    Location {
        /// The place.
        location: String,
        /// Why.
        reason: String,
    },
    /// Another writer took in some of the same rows, or the same window, at the same time. Nothing was written;
    /// the window has to be read again.
    #[error("another writer committed to {table} at the same time; nothing was written")]
    Conflict {
        /// The table.
        table: &'static str,
    },
    /// The disk or quota is full.
    #[error(
        "no space left for {table} in the lake at {location}; nothing of this step was committed, free space and run it again"
    )]
    Full {
        /// The lake.
        location: String,
        /// The table.
        table: &'static str,
    },
    /// Anything else.
    #[error("cannot {action} table {table} in the lake at {location}: {message}")]
    Delta {
        /// The lake.
        location: String,
        /// The table.
        table: &'static str,
        /// What was tried.
        action: &'static str,
        /// What the store said.
        message: String,
    },
    /// Rows that are not of the table.
    #[error("rows of {table} do not fit its columns: {message}")]
    Rows {
        /// The table.
        table: &'static str,
        /// What was wrong.
        message: String,
    },
}

impl LakeError {
    pub(super) fn delta(
        location: String,
        table: &'static str,
        action: &'static str,
        error: DeltaTableError,
    ) -> Self {
        if is_conflict(&error) {
            return Self::Conflict { table };
        }
        Self::engine(location, table, action, &error)
    }

    pub(super) fn engine(
        location: String,
        table: &'static str,
        action: &'static str,
        error: &dyn std::error::Error,
    ) -> Self {
        let message = chain(error);
        // `ENOSPC` and `EDQUOT` arrive as text, several crates deep.
        if ["No space left", "os error 28", "Disk quota exceeded", "os error 122"]
            .iter()
            .any(|m| message.contains(m))
        {
            return Self::Full { location, table };
        }
        Self::Delta { location, table, action, message }
    }
}

fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::Transaction {
            source: TransactionError::CommitConflict(
                CommitConflictError::ConcurrentTransaction
                    | CommitConflictError::ConcurrentAppend
                    | CommitConflictError::MetadataChanged
                    | CommitConflictError::ProtocolChanged(_)
            ) | TransactionError::MaxCommitAttempts(_)
                | TransactionError::VersionAlreadyExists(_)
        }
    )
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let line = inner.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        source = inner.source();
    }
    text
}
