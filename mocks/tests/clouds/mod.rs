//! What the clouds serve, what they refuse, and what goes wrong.

mod client;
mod goes_wrong;
mod refuses;
mod serves;
mod specs;
