//! The scenario, and the clouds that serve it.

mod scenario;
