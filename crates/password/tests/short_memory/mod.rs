//! A process whose memory is short when a test says so: no large piece is given then.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

struct Short;

/// Less than looking at a password takes, and more than anything else does here.
const LARGE_BYTES: usize = 16 * 1024 * 1024;
static IS_SHORT: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static MEMORY: Short = Short;

pub(crate) fn set_short(is_short: bool) {
    IS_SHORT.store(is_short, Ordering::Relaxed);
}

// SAFETY: all that is given and taken back is the system's; a null pointer says that there is none.
unsafe impl GlobalAlloc for Short {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE_BYTES && IS_SHORT.load(Ordering::Relaxed) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller promises of the layout what the system wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: it was given by the system, with this layout.
        unsafe { System.dealloc(piece, layout) };
    }
}
