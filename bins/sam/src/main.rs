//! The `sam` command; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sam::main()
}
