//! Asterisk's modules: what `module show` shows.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use asterisk_sys as sys;

use crate::guard::guard;
use crate::module::Instance;
use crate::text;

/// A module at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loaded {
    /// Its file's name: `chan_pjsip.so`.
    pub name: CString,
    /// What it says that it is.
    pub description: CString,
    /// How many use it now.
    pub uses: u32,
    /// Whether it runs. One that has declined to load is there, and does not.
    pub running: bool,
    /// Who looks after it.
    pub support: Support,
}

/// Who looks after a module (`support_level`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Support {
    /// It does not say.
    Unknown,
    /// Asterisk's makers.
    Core,
    /// Others.
    Extended,
    /// Nobody for much longer.
    Deprecated,
}

/// All modules, by name; `None` while `M`, who asks, is not loaded or is being unloaded.
///
/// Asterisk's loader has one lock. It is held for as long as any module loads, reloads or unloads
/// (loader.c, `ast_load_resource`, `ast_module_reload`, `auto_unload_resource`), so this may have to
/// wait: not for a channel's thread. And it is held while `M` is unloaded, which ends the threads of
/// `M`: one of them that waited here would never end. So this goes through the gate of `M`, and
/// an unload that finds somebody here is refused ("in use, try again"). Ask seldom, say once a second.
///
/// Do not hold a lock that `M` wants in its `load`, `reload` or `unload`: those run with the
/// loader's lock held.
pub fn modules<M: Instance>() -> Option<Vec<Loaded>> {
    M::with(|_| {
        let mut found: Vec<Loaded> = Vec::new();
        // SAFETY: the callback is called before this returns, on this thread, with what we give
        // along; no name to look for means all of them (the callback decides, `like` is only
        // handed over: loader.c, `ast_update_module_list_data`).
        unsafe {
            sys::ast_update_module_list_data(Some(take), ptr::null(), (&raw mut found).cast());
        }
        found
    })
}

/// The loader's lock is held: nothing but copying here.
unsafe extern "C" fn take(
    name: *const c_char,
    description: *const c_char,
    uses: c_int,
    status: *const c_char,
    _like: *const c_char,
    support: sys::ast_module_support_level,
    data: *mut c_void,
) -> c_int {
    guard("the list of modules", 0, || {
        let found: *mut Vec<Loaded> = data.cast();
        // SAFETY: what `modules` gave along, of which it has no other reference meanwhile.
        let found = unsafe { &mut *found };
        // SAFETY: NUL-terminated strings of the module's, or null; they live as long as this
        // call. So do the next two.
        let name: &CStr = unsafe { text::borrow(name) };
        // SAFETY: as above.
        let description: &CStr = unsafe { text::borrow(description) };
        // SAFETY: as above.
        let status: &CStr = unsafe { text::borrow(status) };
        found.push(Loaded {
            name: name.to_owned(),
            description: description.to_owned(),
            uses: uses.try_into().unwrap_or(0),
            running: status == c"Running",
            support: match support {
                sys::AST_MODULE_SUPPORT_CORE => Support::Core,
                sys::AST_MODULE_SUPPORT_EXTENDED => Support::Extended,
                sys::AST_MODULE_SUPPORT_DEPRECATED => Support::Deprecated,
                _ => Support::Unknown,
            },
        });
        1
    })
}
