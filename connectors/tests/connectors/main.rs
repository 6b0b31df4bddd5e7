//! The connectors against servers that lay each API's traps, one test a trap.

mod aws_sources;
mod azure_sources;
mod configuration;
mod corpora;
mod credentials;
mod external_files;
mod fixtures;
mod http_stack;
mod mock_clouds;
mod server;
mod sinks;
