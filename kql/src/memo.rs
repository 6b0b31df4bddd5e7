//! What queries share: what a sub-query over watchlists gives is the same in each of them, and so is a file that several
//! of them read by `externaldata`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::{MemTable, source_as_provider};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};

use crate::external::{ExternalSource, Files};
use crate::scan::KqlScan;

/// Rows of sub-queries that read watchlists only, and files from outside, each fetched once. It may be shared by all queries
/// of one engine over one catalog, for as long as watchlists and files stay as they are: those of one run.
#[derive(Debug, Clone, Default)]
pub struct Memo(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    rows: Mutex<HashMap<String, Vec<RecordBatch>>>,
    files: OnceLock<Arc<Files>>,
}

impl Memo {
    pub(crate) fn get(&self, key: &str) -> Option<Vec<RecordBatch>> {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn put(&self, key: String, rows: Vec<RecordBatch>) {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner).insert(key, rows);
    }

    pub(crate) fn files(&self, source: Arc<dyn ExternalSource>) -> Arc<Files> {
        Arc::clone(self.0.files.get_or_init(|| Arc::new(Files::new(source))))
    }
}

/// What a plan's rows hang on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Nothing, or watchlists: they are the same in each query in which the plan has this text.
    Watchlists(String),
    /// Rows that the query itself spells out.
    Constants,
    /// Tables.
    Tables,
}

/// What a plan's rows hang on.
pub(crate) fn reads(plan: &LogicalPlan) -> Result<Reads> {
    let (mut tables, mut spelled_out) = (false, false);
    // The text of a plan may leave some literals out, and does not escape them.
    let mut literals = String::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            match provider.downcast_ref::<KqlScan>() {
                Some(scan) => tables |= !scan.is_watchlist(),
                None if provider.is::<MemTable>() => spelled_out = true,
                None => tables = true,
            }
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Literal(value, _) => {
                        let _ = write!(literals, "\n{value:?}");
                    }
                    Expr::ScalarFunction(call) => {
                        tables |= call.func.signature().volatility == Volatility::Volatile;
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if tables { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(match (tables, spelled_out) {
        (true, _) => Reads::Tables,
        (false, true) => Reads::Constants,
        (false, false) => Reads::Watchlists(canonical(&plan.display_indent().to_string()) + &literals),
    })
}

/// The text with the numbers of its columns (`X#7`) counted from one, whatever came before in the query.
fn canonical(text: &str) -> String {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut parts = text.split('#');
    let mut canonical = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let next = numbers.len() + 1;
        let number = *numbers.entry(&part[..digits]).or_insert(next);
        let _ = write!(canonical, "#{number}{}", &part[digits..]);
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_that_differ_in_their_numbers_only_are_the_same() {
        assert_eq!(canonical("a#7 + b#9, a#7"), canonical("a#1 + b#2, a#1"));
        assert_ne!(canonical("a#7 + b#9"), canonical("a#7 + b#7"));
        assert_eq!(canonical("no number"), "no number");
    }
}
