//! Faults on real servers and caches under load, and a checker of what was promised.
//!
//! [`history`] is what is recorded, [`check`] judges it. Both know nothing of how it was made.

pub mod check;
pub mod history;
