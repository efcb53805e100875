//! What a module is, and its life: load, reload, shutdown, unload.
//!
//! A module is a type that implements [`Module`] and is named once in [`module!`](crate::module!),
//! which makes the static [`Slot`] and the ELF constructor that C's `AST_MODULE_INFO` makes.
//!
//! Load: `Module::load` makes the state and says in the [`Registry`] what is to be registered;
//! nothing is registered until it has returned, so no callback ever finds a module without its
//! state. Unload: refused while a callback is inside; then everything is unregistered in reverse
//! order, and `Module::unload` gets the state back by value. All four are called by Asterisk's
//! loader under its own lock, one at a time, on a thread of Asterisk's.
//!
//! Callbacks get the state as `&Self`, lent through a gate (see `gate.rs`, which says why
//! Asterisk's own use count is not enough).

use std::cell::UnsafeCell;
use std::error::Error;
use std::ffi::{CStr, c_int};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use asterisk_sys as sys;

use crate::gate::{Gate, Inside};
use crate::guard::{self, guard};
use crate::registry::{Held, Registry};

/// How long a load that was refused something waits for a call that is inside the rest.
const LOAD_FAILURE_WAIT: Duration = Duration::from_secs(1);

/// An Asterisk module. Its state is `Self`: one value, shared by every callback.
pub trait Module: Sized + Send + Sync + 'static {
    /// The name in Asterisk's messages and in the XML help: the file's name without `.so`.
    const NAME: &'static CStr;
    /// One line, for `module show`.
    const DESCRIPTION: &'static CStr;
    /// When to load, among the modules that are loaded at start.
    const LOAD_PRIORITY: LoadPriority = LoadPriority::Default;
    /// Modules that must run before this one, with commas between. Asterisk refuses to load this
    /// one without them and keeps them loaded as long as this one is.
    const REQUIRES: Option<&'static CStr> = None;
    /// As [`Module::REQUIRES`] for those that happen to be there. Beware: one that is there and
    /// has _declined_ to load keeps this one from loading (loader.c,
    /// `module_deps_process_reqlist`).
    const OPTIONAL_MODULES: Option<&'static CStr> = None;
    /// Whether `module reload` calls [`Module::reload`].
    const RELOADABLE: bool = false;

    /// Makes the state, and says what to register once it is there.
    ///
    /// # Errors
    ///
    /// [`LoadError::Decline`] if the module cannot do its work, say for its configuration.
    fn load(registry: &mut Registry<Self>) -> Result<Self, LoadError>;

    /// Reads the configuration again. On an error the module should go on as it was.
    ///
    /// # Errors
    ///
    /// Whatever the operator is to read in the log.
    fn reload(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }

    /// Asterisk ends with the module still loaded (`core stop now`, SIGTERM, or in use): the
    /// last chance to tell others. Callbacks go on running meanwhile. Keep it short.
    fn shutdown(&self) {}

    /// Ends the module. No callback of the registry's is running or will run again; threads and
    /// subscriptions that the state owns end when they are dropped.
    fn unload(self) {}
}

/// When a module is loaded, among those that are loaded at start (`AST_MODPRI_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LoadPriority {
    /// What channel drivers may depend on.
    ChannelDepend,
    /// With the channel drivers.
    ChannelDriver,
    /// What applications may depend on.
    AppDepend,
    /// After all of these: right for most.
    Default,
    /// After all others.
    DevstateConsumer,
}

impl LoadPriority {
    #[doc(hidden)]
    pub const fn raw(self) -> u8 {
        let priority = match self {
            Self::ChannelDepend => sys::AST_MODPRI_CHANNEL_DEPEND,
            Self::ChannelDriver => sys::AST_MODPRI_CHANNEL_DRIVER,
            Self::AppDepend => sys::AST_MODPRI_APP_DEPEND,
            Self::Default => sys::AST_MODPRI_DEFAULT,
            Self::DevstateConsumer => sys::AST_MODPRI_DEVSTATE_CONSUMER,
        };
        priority as u8
    }
}

/// Why a module does not load. It is logged as an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The module cannot run; Asterisk goes on without it.
    #[error("{0}")]
    Decline(Box<dyn Error + Send + Sync>),
    /// Asterisk would be unstable with this module half started: at start it ends.
    #[error("{0}")]
    Failure(Box<dyn Error + Send + Sync>),
}

impl LoadError {
    /// Declines for `reason`, which is an error or a message.
    pub fn decline(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Decline(reason.into())
    }
}

/// What [`module!`](crate::module!) adds to a [`Module`].
///
/// # Safety
///
/// Both functions must return the same thing on each call: the one slot of this module, and the
/// handle that Asterisk's loader gave this module, or null before it did. Only the macro
/// implements this.
pub unsafe trait Instance: Module {
    /// Where the state is.
    #[doc(hidden)]
    fn slot() -> &'static Slot<Self>;
    /// What Asterisk knows this module by.
    #[doc(hidden)]
    fn handle() -> *mut sys::ast_module;

    /// Calls `body` with the module's state, from any thread.
    ///
    /// `None` while the module is not loaded, or is being unloaded. While `body` runs an unload
    /// is refused, so do not wait in it for something that only an unload brings about.
    fn with<T>(body: impl FnOnce(&Self) -> T) -> Option<T> {
        let lent = Self::slot().enter()?;
        Some(body(lent.state))
    }
}

/// Holds a module's state while it is loaded.
#[doc(hidden)]
pub struct Slot<M> {
    gate: Gate,
    /// Written only with the gate closed, read only by who is inside the gate.
    state: UnsafeCell<Option<M>>,
    held: Mutex<Held>,
}

// SAFETY: the state is shared between threads as `&M` (`M: Sync`) and moved between them, for
// load and unload may run on different ones (`M: Send`). Writes and reads of the cell never
// overlap: see `state`.
unsafe impl<M: Send + Sync> Sync for Slot<M> {}

/// The state, lent to one callback.
pub(crate) struct Lent<'a, M> {
    pub(crate) state: &'a M,
    _inside: Inside<'a>,
}

impl<M: Instance> Slot<M> {
    /// Of a module that is not loaded.
    pub const fn new() -> Self {
        Self {
            gate: Gate::closed(),
            state: UnsafeCell::new(None),
            held: Mutex::new(Held::nothing()),
        }
    }

    /// `None` if the gate is closed.
    pub(crate) fn enter(&self) -> Option<Lent<'_, M>> {
        let inside = self.gate.enter()?;
        // SAFETY: we are inside the gate, so nobody writes (see `state`); the borrow ends before
        // `inside` is dropped, for both are in `Lent`, which lends no longer than it lives.
        let state = unsafe { &*self.state.get() };
        Some(Lent { state: state.as_ref()?, _inside: inside })
    }

    fn load(&self) -> Result<(), LoadError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut registry = Registry::new();
        let state = M::load(&mut registry)?;
        // SAFETY: the gate is closed, so nobody reads; the lock keeps other writers out.
        unsafe { *self.state.get() = Some(state) };
        self.gate.open();

        let Err(refused) = held.register_all(registry, M::handle()) else { return Ok(()) };
        let deadline = Instant::now() + LOAD_FAILURE_WAIT;
        while !self.close_and_undo(&mut held) {
            if Instant::now() >= deadline {
                // Asterisk never calls `unload` of a module that declined, but may close its
                // file (loader.c, `auto_unload_resource`). So stay, with what there is.
                crate::error!("{refused}; a call uses the rest: unload the module and load it");
                return Ok(());
            }
            thread::yield_now();
        }
        Err(LoadError::decline(refused))
    }

    fn reload(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Some(lent) = self.enter() else { return Err("the module is not loaded".into()) };
        lent.state.reload()
    }

    /// Whether the module is unloaded now; `false` leaves it as it was, or asks to try again.
    fn unload(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.close_and_undo(&mut held)
    }

    fn close_and_undo(&self, held: &mut Held) -> bool {
        if !held.close_and_unregister_all(&self.gate) {
            return false;
        }
        // SAFETY: the gate is closed, so nobody reads; `held` is locked, so nobody else writes.
        let state = unsafe { (*self.state.get()).take() };
        if let Some(state) = state {
            guard("unload", (), || state.unload());
        }
        true
    }
}

impl<M: Instance> Default for Slot<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// `ast_module_info.load`.
#[doc(hidden)]
pub unsafe extern "C" fn load<M: Instance>() -> sys::ast_module_load_result {
    guard::install_hook();
    let declined = Err(LoadError::decline("loading the module panicked"));
    let result = match guard("load", declined, || M::slot().load()) {
        Ok(()) => return register_shutdown::<M>(),
        Err(error) => {
            crate::error!("{}: not loaded: {error}", M::NAME.to_string_lossy());
            match error {
                LoadError::Failure(_) => sys::AST_MODULE_LOAD_FAILURE,
                LoadError::Decline(_) => sys::AST_MODULE_LOAD_DECLINE,
            }
        }
    };
    guard::remove_hook();
    result
}

fn register_shutdown<M: Instance>() -> sys::ast_module_load_result {
    // SAFETY: the function lives until the module is unmapped, and `unload` takes it back before.
    if unsafe { sys::ast_register_atexit(Some(shutdown::<M>)) } != 0 {
        crate::warning!("no memory: a stop of Asterisk will not be told to the module");
    }
    sys::AST_MODULE_LOAD_SUCCESS
}

/// `ast_register_atexit`'s callback: runs on the thread that ends Asterisk (asterisk.c,
/// `really_quit`), after graceful unloading if that was tried.
unsafe extern "C" fn shutdown<M: Instance>() {
    guard("shutdown", (), || {
        if let Some(lent) = M::slot().enter() {
            lent.state.shutdown();
        }
    });
}

/// `ast_module_info.reload`.
#[doc(hidden)]
pub unsafe extern "C" fn reload<M: Instance>() -> c_int {
    let panicked = Err("reloading the module panicked".into());
    match guard("reload", panicked, || M::slot().reload()) {
        Ok(()) => 0,
        Err(error) => {
            crate::error!("{}: not reloaded: {error}", M::NAME.to_string_lossy());
            -1
        }
    }
}

/// `ast_module_info.unload`: anything but 0 keeps the module loaded.
#[doc(hidden)]
pub unsafe extern "C" fn unload<M: Instance>() -> c_int {
    // A panic in the registry's own code would be a fault of this crate; then the module stays.
    if !guard("unload", false, || M::slot().unload()) {
        crate::notice!("{}: in use, not unloaded; try again", M::NAME.to_string_lossy());
        return -1;
    }
    // SAFETY: removes what `load` registered, or nothing.
    unsafe { sys::ast_unregister_atexit(Some(shutdown::<M>)) };
    guard::remove_hook();
    0
}
