//! Faults on real servers and caches under load, and a checker of what was promised.
//!
//! [`history`] is what is recorded, [`check`] judges it: both know nothing of how it was made. [`run`] makes it: a
//! lab for each group of scenarios, load through all of its servers, and one fault after the other.

pub mod check;
mod client;
mod groups;
pub mod history;
mod noise;
mod pace;
mod phones;
mod random;
mod rig;
mod session;
mod trouble;
mod workload;

pub use groups::{Plan, run};
