//! How many callbacks are inside the module right now, and whether more may enter.
//!
//! Asterisk counts users too (`__ast_module_user_add` around applications and functions,
//! pbx_app.c `pbx_exec`, pbx_functions.c `ast_func_read`; `ast_module_running_ref` around CLI
//! commands, cli.c `ast_cli_command_full`, and AMI actions, manager.c `process_message`), and
//! refuses a soft unload while there are any. But it takes the reference _after_ it has looked
//! the callback up, and the module still counts as running while its `unload` runs (loader.c,
//! `auto_unload_resource`): a call may slip in between. So the state is lent only through this
//! gate, which closes only when nobody is inside. The way from Asterisk's look-up to our first
//! instruction is what `registry.rs` waits for.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Set while nobody may enter; the other bits count who is inside, or knocks.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Starts closed.
pub(crate) struct Gate {
    state: AtomicUsize,
}

/// Shows that its holder is inside. Leaves on drop.
pub(crate) struct Inside<'a>(&'a Gate);

impl Gate {
    pub(crate) const fn closed() -> Self {
        Self { state: AtomicUsize::new(CLOSED) }
    }

    /// Lets callbacks in. What was written before is seen by whoever enters.
    pub(crate) fn open(&self) {
        self.state.fetch_and(!CLOSED, Ordering::Release);
    }

    /// `None` if the gate is closed.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        // The count cannot reach the top bit: that takes 2^63 threads.
        let before = self.state.fetch_add(1, Ordering::Acquire);
        let inside = Inside(self);
        (before & CLOSED == 0).then_some(inside)
    }

    /// Closes the gate if nobody is inside, and says whether it is closed now.
    pub(crate) fn close(&self) -> bool {
        let closed = self.state.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire);
        closed.is_ok() || self.is_closed()
    }

    /// Closed, and nobody knocks.
    pub(crate) fn is_deserted(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(1, Ordering::Release);
    }
}
