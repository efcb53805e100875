//! The binary `tandem`; all of it is in the library beside.

use std::process::ExitCode;

fn main() -> ExitCode {
    tandem::main()
}
