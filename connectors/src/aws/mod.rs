//! AWS: accounts, sessions in them, and the SDK on the one HTTP client.

mod adapter;
mod failure;
mod session;

pub(crate) use failure::failure;
pub(crate) use session::{Account, AwsContext};
