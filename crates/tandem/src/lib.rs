//! Tandem from a shell. `docs/tandem.md` is for those who use it.
//!
//! - [`cli`]: the command line, from its words to the subcommand that runs;
//! - `univar`, `registrations`, `cache`, `completion`, `man`: the subcommands, a file each;
//! - [`conf`]: Asterisk's `.conf` syntax, for `universal.conf`;
//! - `source`, `session`: which cache servers, and talking to them with care for what cannot be told;
//! - `out`, `text`: what is printed, and never raw to a terminal; [`exit`]: exit codes.
//!
//! Everything here blocks, for each run asks a few things and ends. The commands are thin: placement, markers and
//! envelopes are `univar`'s, what `universal.conf` means is `universal`'s.

mod cache;
pub mod cli;
mod completion;
pub mod conf;
pub mod exit;
mod man;
mod out;
mod registrations;
mod session;
mod signals;
mod source;
mod text;
mod univar;

pub use cli::main;
