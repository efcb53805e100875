//! A safe wrapper to write Asterisk modules with.
//!
//! A module is a `cdylib` with one type that implements [`Module`], named in [`module!`]. What it
//! adds to Asterisk are types too: an [`Application`](application::Application), a
//! [`Function`](function::Function), a [`Switch`](switch::Switch), a CLI
//! [`Command`](cli::Command), an AMI [`Action`](manager::Action). `examples/hello.rs` has one of each.
//!
//! ```no_run
//! use asterisk::{LoadError, Module, Registry};
//!
//! struct Quiet;
//!
//! impl Module for Quiet {
//!     const NAME: &'static std::ffi::CStr = c"quiet";
//!     const DESCRIPTION: &'static std::ffi::CStr = c"Does nothing";
//!
//!     fn load(_registry: &mut Registry<Self>) -> Result<Self, LoadError> {
//!         Ok(Quiet)
//!     }
//! }
//!
//! asterisk::module!(Quiet);
//! # fn main() {}
//! ```
//!
//! What holds for all of it:
//!
//! - Every callback from C runs in [`guard()`]: a panic is logged, and Asterisk goes on.
//! - Callbacks run on Asterisk's threads. No `thread_local` with a destructor may be touched
//!   there, or the module stays mapped after its unload, and an upgrade runs old code: no
//!   `std::thread::spawn`, `std::thread::current`, `std::sync::mpsc`, `println!`, `rand` or
//!   `tracing`. `Mutex`, `RwLock`, `Condvar`, `Arc`, atomics, sockets and `Instant` are fine.
//!   Threads of one's own come from [`thread::Thread`].
//! - Text is bytes: C strings without an encoding.
//! - Each module here is named after the part of Asterisk that it wraps, and says which threads
//!   may call it.

pub mod application;
pub mod astdb;
pub mod channel;
pub mod cli;
pub mod config;
pub mod contact;
pub mod endpoint;
pub mod function;
pub mod loader;
pub mod log;
pub mod manager;
pub mod module;
#[doc(hidden)]
pub mod module_macro;
pub mod security;
pub mod snapshot;
pub mod sorcery;
pub mod stasis;
pub mod switch;
pub mod system;
pub mod thread;
pub mod tls;

mod ao2;
mod dialplan;
mod gate;
mod guard;
mod openssl;
mod registry;
mod text;

pub use channel::Channel;
pub use guard::guard;
pub use module::{Instance, LoadError, LoadPriority, Module};
pub use registry::Registry;

#[doc(hidden)]
pub use asterisk_sys as sys;
