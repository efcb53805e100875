//! Asterisk's reference-counted objects (astobj2), as far as the wrappers need them. Private.

use std::ffi::c_void;
use std::ptr::NonNull;

use asterisk_sys as sys;

/// One reference to an object; given back on drop.
pub(crate) struct Ref<T>(NonNull<T>);

impl<T> Ref<T> {
    /// Takes over the reference that a C function has returned; `None` for null.
    ///
    /// # Safety
    ///
    /// `object` is null, or an ao2 object of type `T` with one reference that is ours now.
    pub(crate) unsafe fn take(object: *mut T) -> Option<Self> {
        NonNull::new(object).map(Self)
    }

    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Drop for Ref<T> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and given back once; counting is atomic, so any thread
        // may do it. The strings are for reference logs.
        unsafe {
            sys::__ao2_ref(
                self.0.as_ptr().cast(),
                -1,
                c"".as_ptr(),
                c"ao2.rs".as_ptr(),
                0,
                c"".as_ptr(),
            );
        }
    }
}

/// Calls `visit` with each object of a container; it stays alive for the call.
pub(crate) fn for_each(container: &Ref<sys::ao2_container>, mut visit: impl FnMut(*mut c_void)) {
    // SAFETY: the container is alive for longer than the iterator.
    let mut iterator = unsafe { sys::ao2_iterator_init(container.as_ptr(), 0) };
    loop {
        // SAFETY: a live iterator. What it returns is null at the end, or a reference for us.
        let object = unsafe {
            sys::__ao2_iterator_next(
                &raw mut iterator,
                c"".as_ptr(),
                c"ao2.rs".as_ptr(),
                0,
                c"".as_ptr(),
            )
        };
        // SAFETY: as above.
        let Some(object) = (unsafe { Ref::<c_void>::take(object) }) else { break };
        visit(object.as_ptr());
    }
    // SAFETY: a live iterator, destroyed once.
    unsafe { sys::ao2_iterator_destroy(&raw mut iterator) };
}
