//! What goes wrong.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use crate::scenario::mix;

use super::exchange::Ask;

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

impl FromStr for Faults {
    type Err = String;

    /// `all`, `none`, or names with commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::none();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "all" => faults = Self::all(),
                "none" => faults = Self::none(),
                "throttling" => faults.throttling = true,
                "server-errors" => faults.server_errors = true,
                "timeouts" => faults.timeouts = true,
                "cut-bodies" => faults.cut_bodies = true,
                "duplicates" => faults.duplicates = true,
                "late" => faults.late_and_out_of_order = true,
                "expiring-tokens" => faults.expiring_tokens = true,
                other => {
                    return Err(format!(
                        "'{other}' is none of all, none, throttling, server-errors, timeouts, cut-bodies, duplicates, \
                         late, expiring-tokens"
                    ));
                }
            }
        }
        Ok(faults)
    }
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    Throttled,
    ServerError(u16),
    Stalled,
    Cut,
}

impl Mishap {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::ServerError(_) => "server error",
            Self::Stalled => "stalled",
            Self::Cut => "cut",
        }
    }
}

/// Counts equal requests, to hit the same ones on every run.
#[derive(Debug, Default)]
pub(crate) struct Mishaps {
    seen: Mutex<HashMap<u64, u64>>,
}

impl Mishaps {
    /// What happens to this request.
    pub(crate) fn strike(&self, faults: Faults, seed: u64, service: &str, ask: &Ask) -> Option<Mishap> {
        // Credentials and dates differ between tries of one request, so headers do not count.
        let text = format!("{service} {} {} {}", ask.method, ask.raw_path, ask.raw_query);
        let body =
            ask.body.iter().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        let request = mix(seed, &text, body);
        let tries = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let count = seen.entry(request).or_default();
            *count += 1;
            *count - 1
        };
        // Of five equal requests in a row, one in three loses the first and one in nine the second as well.
        let (round, turn) = (tries / 5, tries % 5);
        let hit = |turn| mix(request, "hit", round * 5 + turn).is_multiple_of(3);
        let struck = match turn {
            0 => hit(0),
            1 => hit(0) && hit(1),
            _ => false,
        };
        if !struck {
            return None;
        }
        let chance = mix(request, "kind", tries);
        let mut kinds = Vec::new();
        if faults.throttling {
            kinds.push(Mishap::Throttled);
        }
        if faults.server_errors {
            kinds.push(Mishap::ServerError([500, 502, 503, 504][(chance >> 32) as usize % 4]));
        }
        if faults.timeouts {
            kinds.push(Mishap::Stalled);
        }
        if faults.cut_bodies {
            kinds.push(Mishap::Cut);
        }
        (!kinds.is_empty()).then(|| kinds[chance as usize % kinds.len()])
    }
}
