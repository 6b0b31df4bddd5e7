//! The command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    provost::cli::main()
}
