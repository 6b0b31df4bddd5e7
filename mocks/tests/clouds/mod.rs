//! What the clouds serve, what they refuse, and what goes wrong.

mod client;
mod refuses;
mod serves;
