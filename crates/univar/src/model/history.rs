//! What is recorded while a history runs, for the checker to judge.

use super::Us;
use super::script::{Fault, Script, What};
use crate::Outcome;

#[derive(Debug)]
pub(crate) struct History {
    pub(crate) script: Script,
    pub(crate) ops: Vec<Done>,
    /// The faults that happened, and when: the script's, and those that the world adds.
    pub(crate) faults: Vec<(Us, Us, Fault)>,
    /// Until when it was waited in vain that everything is healed.
    pub(crate) never_healed: Option<Us>,
}

/// An operation as its caller saw it.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) node: usize,
    pub(crate) name: usize,
    pub(crate) what: What,
    /// The number that it writes, if it writes one: each writes another.
    pub(crate) value: i64,
    pub(crate) start: Us,
    pub(crate) end: Us,
    pub(crate) outcome: Outcome,
    /// The node died before it was told.
    pub(crate) died: bool,
}
