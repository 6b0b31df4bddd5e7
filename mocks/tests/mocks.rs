//! The scenario, and the clouds that serve it.

mod clouds;
mod scenario;
