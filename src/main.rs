//! The command line.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Queries allocate much, on all processors at once.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    provost::cli::main()
}
