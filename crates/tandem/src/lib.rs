//! Tandem from a shell. `docs/tandem.md` is for those who use it.
//!
//! - [`cli`]: the command line, from its words to the subcommand that runs;
//! - `univar`, `registrations`, `cache`, `serve`, `agent`, `user`, `completion`, `man`: the subcommands, a file each;
//! - [`conf`]: Asterisk's `.conf` syntax, for `universal.conf`;
//! - `source`, `session`: which cache servers, and talking to them with care for what cannot be told;
//! - `out`, `text`: what is printed, and never raw to a terminal; [`exit`]: exit codes.
//!
//! Everything here blocks, for each run asks a few things and ends; `serve` and `agent` are shells around the crates
//! of their names, with a runtime of their own. The commands are thin: placement, markers and
//! envelopes are `univar`'s, what `universal.conf` means is `universal`'s.

mod agent;
mod cache;
pub mod cli;
mod completion;
pub mod conf;
pub mod exit;
mod man;
mod out;
mod registrations;
mod serve;
mod session;
mod signals;
mod source;
mod systemd;
mod text;
mod univar;
mod user;

pub use cli::main;
