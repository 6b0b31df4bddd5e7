//! The mock clouds over HTTPS, and the scenario they serve.
