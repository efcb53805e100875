//! What `AST_MODULE_INFO` does in C (module.h): one `ast_module_info`, registered by an ELF
//! constructor when the loader opens the file, unregistered by a destructor when it closes it.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char};
use std::ptr;

use asterisk_sys as sys;

use crate::module::{self, Instance};

/// The module's description in the form the loader reads; the loader writes its handle into it.
#[doc(hidden)]
pub struct Info(UnsafeCell<sys::ast_module_info>);

// SAFETY: the loader writes `self_` once, under its lock, before it calls `load`; after that the
// structure is only read.
unsafe impl Sync for Info {}

impl Info {
    /// What module `M` tells the loader.
    pub const fn of<M: Instance>() -> Self {
        Self(UnsafeCell::new(sys::ast_module_info {
            self_: ptr::null_mut(),
            load: Some(module::load::<M>),
            reload: if M::RELOADABLE { Some(module::reload::<M>) } else { None },
            unload: Some(module::unload::<M>),
            name: M::NAME.as_ptr(),
            description: M::DESCRIPTION.as_ptr(),
            key: sys::ASTERISK_GPL_KEY.as_ptr(),
            flags: sys::AST_MODFLAG_LOAD_ORDER,
            buildopt_sum: buildopt_sum(),
            load_pri: M::LOAD_PRIORITY.raw(),
            requires: pointer(M::REQUIRES),
            optional_modules: pointer(M::OPTIONAL_MODULES),
            enhances: ptr::null(),
            reserved1: ptr::null_mut(),
            reserved2: ptr::null_mut(),
            reserved3: ptr::null_mut(),
            reserved4: ptr::null_mut(),
            support_level: sys::AST_MODULE_SUPPORT_EXTENDED,
        }))
    }

    /// The loader's handle; null before it opened the file.
    pub fn handle(&self) -> *mut sys::ast_module {
        // SAFETY: written before any of our code but the constructor runs (see `Sync`).
        unsafe { (*self.0.get()).self_ }
    }

    /// For the ELF constructor only.
    pub fn register(&self) {
        // SAFETY: the structure is a static of the module; the loader forgets it in `unregister`.
        unsafe { sys::ast_module_register(self.0.get()) };
    }

    /// For the ELF destructor only.
    pub fn unregister(&self) {
        // SAFETY: the same structure that was registered.
        unsafe { sys::ast_module_unregister(self.0.get()) };
    }
}

const fn pointer(text: Option<&'static CStr>) -> *const c_char {
    match text {
        Some(text) => text.as_ptr(),
        None => ptr::null(),
    }
}

/// The loader compares it with its own (loader.c, `inspect_module`); an empty one would not be
/// compared, and a module of another build be let in.
const fn buildopt_sum() -> [c_char; 33] {
    let sum = sys::AST_BUILDOPT_SUM.to_bytes_with_nul();
    assert!(sum.len() == 33, "AST_BUILDOPT_SUM is an MD5 sum in hexadecimal");
    let mut array = [0; 33];
    let mut index = 0;
    while index < array.len() {
        array[index] = sum[index] as c_char;
        index += 1;
    }
    array
}

/// Makes `$module`, which implements [`Module`](crate::Module), the module that this cdylib is.
///
/// Use it once in a crate of type `cdylib`.
#[macro_export]
macro_rules! module {
    ($module:ty) => {
        const _: () = {
            static SLOT: $crate::module::Slot<$module> = $crate::module::Slot::new();
            static INFO: $crate::module_macro::Info = $crate::module_macro::Info::of::<$module>();

            // SAFETY: both return what belongs to the statics above.
            unsafe impl $crate::Instance for $module {
                fn slot() -> &'static $crate::module::Slot<Self> {
                    &SLOT
                }

                fn handle() -> *mut $crate::sys::ast_module {
                    INFO.handle()
                }
            }

            extern "C" fn register() {
                INFO.register();
            }

            extern "C" fn unregister() {
                INFO.unregister();
            }

            // SAFETY: the dynamic linker calls what these sections hold, once each, as C
            // functions; the arguments it passes to the first may be left alone.
            #[used]
            #[unsafe(link_section = ".init_array")]
            static CONSTRUCTOR: extern "C" fn() = register;

            // SAFETY: as above.
            #[used]
            #[unsafe(link_section = ".fini_array")]
            static DESTRUCTOR: extern "C" fn() = unregister;
        };
    };
}
