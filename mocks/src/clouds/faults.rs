//! What goes wrong.

/// What goes wrong, each kind by itself. Which request is hit follows from the scenario's seed and from how often the
/// same request came before; the third try in a row always succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Throttled in the vendor's dialect.
    pub throttling: bool,
    /// 500, 502, 503, 504.
    pub server_errors: bool,
    /// No answer: the request hangs, then the connection is closed.
    pub timeouts: bool,
    /// Half an answer: what was asked for has been done.
    pub cut_bodies: bool,
    /// Some records are given twice.
    pub duplicates: bool,
    /// Some records appear up to hours late, and lists without a promised order have none.
    pub late_and_out_of_order: bool,
    /// Tokens die before their time.
    pub expiring_tokens: bool,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything goes wrong.
    pub fn all() -> Self {
        Self {
            throttling: true,
            server_errors: true,
            timeouts: true,
            cut_bodies: true,
            duplicates: true,
            late_and_out_of_order: true,
            expiring_tokens: true,
        }
    }
}
