//! A tenant made up from a seed: what its logs hold, and what of it is an attack.

mod label;
mod options;

pub use label::{AttackChain, Decoy};
pub use options::ScenarioOptions;

/// A made-up tenant: the same options give the same bytes.
#[derive(Debug)]
pub struct Scenario {
    options: ScenarioOptions,
    chains: Vec<AttackChain>,
    decoys: Vec<Decoy>,
}

impl Scenario {
    /// Makes up the tenant and plants the attacks in it; the noise is made while it is read.
    pub fn new(options: ScenarioOptions) -> Self {
        Self { options, chains: Vec::new(), decoys: Vec::new() }
    }

    /// What it was made from.
    pub fn options(&self) -> &ScenarioOptions {
        &self.options
    }

    /// The attacks.
    pub fn chains(&self) -> &[AttackChain] {
        &self.chains
    }

    /// What looks like an attack and is none.
    pub fn decoys(&self) -> &[Decoy] {
        &self.decoys
    }
}
