//! Azure: its clouds, and tokens for them.

mod cloud;
mod token;
mod transport;

pub(crate) use cloud::{AzureContext, Endpoint};
pub(crate) use token::Tokens;
