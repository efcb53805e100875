//! Without memory nobody is let in, and nobody is accused. Alone in its file: the memory is everybody's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use attendant::Security;

#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "attendant/fake.rs"]
mod fake;
#[expect(dead_code, reason = "the other tests want more of it")]
#[path = "attendant/rig.rs"]
mod rig;

use rig::{PASSWORD, Rig};

/// Gives no large piece while memory is short.
struct Short;

static IS_SHORT: AtomicBool = AtomicBool::new(false);
const LARGE_BYTES: usize = 16 * 1024 * 1024;

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
fn a_password_that_cannot_be_looked_at_is_not_a_wrong_one() {
    let rig = Rig::new();
    let credentials = format!("{{\"user\":\"admin\",\"password\":\"{PASSWORD}\"}}");
    IS_SHORT.store(true, Ordering::Relaxed);
    for _ in 0..10 {
        let reply = rig.admin().get("/api/status");
        assert_eq!((reply.status, reply.field("Retry-After")), (503, "1"), "{reply:?}");
        assert_eq!(rig.nobody().post("/api/session", &credentials).status, 503);
    }
    IS_SHORT.store(false, Ordering::Relaxed);
    assert_eq!(rig.admin().get("/api/status").status, 200, "and nobody has to wait");
    for event in [Security::InvalidPassword, Security::InvalidAccount, Security::LoadLimit] {
        assert_eq!(rig.fake.state.events(event), 0);
    }
}
