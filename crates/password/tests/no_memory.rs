//! A password is not wrong because there is no memory. Alone in its file: the memory is everybody's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use password::{NoMemory, PasswordError};

/// Gives no large piece while memory is short.
struct Short;

static IS_SHORT: AtomicBool = AtomicBool::new(false);
const LARGE_BYTES: usize = 1024 * 1024;

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

#[global_allocator]
static MEMORY: Short = Short;

#[test]
fn without_memory_a_password_is_neither_right_nor_wrong() {
    let kept = password::hash("correct horse").expect("a good one");
    IS_SHORT.store(true, Ordering::Relaxed);
    let said = [
        password::is_right("correct horse", Some(&kept)),
        password::is_right("another one", Some(&kept)),
        password::is_right("anything at all", None),
    ];
    let hashed = password::hash("correct horse");
    IS_SHORT.store(false, Ordering::Relaxed);
    assert_eq!(said, [Err(NoMemory); 3]);
    assert_eq!(hashed, Err(PasswordError::Failed));
    assert_eq!(password::is_right("correct horse", Some(&kept)), Ok(true));
}
