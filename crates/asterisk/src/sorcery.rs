//! Sorcery: where modules such as res_pjsip keep their objects, be it in memory, AstDB or a
//! database. What chan_pjsip says nowhere else, a _refreshed_ registration, is an update of a
//! `contact` here.
//!
//! The module whose objects are looked at may be absent, come later, or go. None of its symbols
//! are used: Asterisk's core finds its sorcery instance by the module's name
//! (`ast_sorcery_retrieve_by_module_name`). But the core calls that module's code to read a
//! field or to free an object, so its file is kept mapped while we do so, and while a [`Watch`]
//! is attached, by a handle of our own (`dlopen` with `RTLD_NOLOAD`).
//!
//! No reference to that module is held, so it can be unloaded at any time. (`Module::REQUIRES`
//! or `OPTIONAL_MODULES` would hold one; the latter also keeps us from loading where res_pjsip
//! has declined to.) When it is, its instance is destroyed, which Asterisk announces while its
//! objects and their observers are still there (sorcery.c, `sorcery_destructor`); the watch
//! detaches then, and can be attached again when the module is back.

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use asterisk_sys as sys;

use crate::ao2::{self, Ref};
use crate::config;
use crate::guard::guard;
use crate::text;

/// How many watches a module can have at once: observers get no pointer of their own from
/// Asterisk, so each has functions of its own.
pub const MAX_WATCHES: usize = 4;

/// How long the end of a watch waits for an instance that is being destroyed on another thread.
const DESTROY_WAIT: Duration = Duration::from_secs(1);

/// How long to let it go on before looking again.
const PAUSE: Duration = Duration::from_millis(1);

/// An object, copied: its id, and those of its fields that were asked for, as they would stand in a
/// configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object {
    /// Unique in its type. Of a contact: `<aor>;@<hash of the URI>`.
    pub id: CString,
    /// Name and value, in no order. Of a contact among others `uri`, `expiration_time` (seconds
    /// since 1970), `endpoint`, `reg_server` (Asterisk's `systemname`, if set), `via_addr`,
    /// `user_agent`.
    pub fields: Vec<(CString, CString)>,
}

impl Object {
    /// The first value of a field.
    pub fn field(&self, name: &CStr) -> Option<&CStr> {
        let (_, value) = self.fields.iter().find(|(key, _)| key.as_c_str() == name)?;
        Some(value)
    }
}

/// All objects of a type that module `module` keeps (`c"res_pjsip"`, `c"contact"`), with these of
/// their fields; `None` if it is not loaded.
///
/// Reads the backend, which may be a database: not on a channel's thread.
pub fn all(module: &CStr, object_type: &CStr, fields: &[&CStr]) -> Option<Vec<Object>> {
    // In this order, so that the file stays mapped until the objects are gone.
    let _file = MappedFile::of(module)?;
    let instance = instance(module)?;
    let flags = sys::AST_RETRIEVE_FLAG_MULTIPLE | sys::AST_RETRIEVE_FLAG_ALL;
    // SAFETY: a live instance; the type's name is NUL-terminated and not kept; no fields means
    // all objects, by the second flag.
    let objects = unsafe {
        let (instance, name) = (instance.as_ptr(), object_type.as_ptr());
        sys::ast_sorcery_retrieve_by_fields(instance, name, flags, ptr::null_mut())
    };
    // SAFETY: with the first flag null, or a container with a reference for us (sorcery.h).
    let objects = unsafe { Ref::take(objects.cast::<sys::ao2_container>()) };
    let mut found = Vec::new();
    if let Some(objects) = objects {
        ao2::for_each(&objects, |object| {
            // SAFETY: the container holds objects of this instance's, alive for the call.
            found.push(unsafe { copy(instance.as_ptr(), object, fields) });
        });
    }
    Some(found)
}

/// What has become of an object.
pub enum Event<'a> {
    /// It is new.
    Created(Observed<'a>),
    /// It was written again, be it with the same content.
    Updated(Observed<'a>),
    /// It is gone; this is what it was.
    Deleted(Observed<'a>),
    /// All objects of the type were read anew.
    Loaded,
}

/// An object in an event, lent for the callback.
pub struct Observed<'a> {
    instance: *const sys::ast_sorcery,
    object: NonNull<c_void>,
    lent: PhantomData<&'a c_void>,
}

impl<'a> Observed<'a> {
    /// The object's id.
    pub fn id(&self) -> &'a CStr {
        // SAFETY: a live object of sorcery's.
        let id = unsafe { sys::ast_sorcery_object_get_id(self.object.as_ptr()) };
        // SAFETY: NUL-terminated, and lives as long as the object.
        unsafe { text::borrow(id) }
    }

    /// A copy with these of its fields.
    pub fn to_object(&self, fields: &[&CStr]) -> Object {
        // SAFETY: the instance lives as long as its observers may be called, see `Slot`.
        unsafe { copy(self.instance, self.object.as_ptr(), fields) }
    }
}

/// # Safety
///
/// `object` is a live object of the live `instance`, whose module is mapped.
unsafe fn copy(
    instance: *const sys::ast_sorcery,
    object: *const c_void,
    wanted: &[&CStr],
) -> Object {
    // SAFETY: the caller promises it.
    let id = unsafe { sys::ast_sorcery_object_get_id(object) };
    // SAFETY: NUL-terminated, inside the object.
    let id = unsafe { text::borrow(id) }.to_owned();
    // SAFETY: the caller promises it; what is returned is a list of our own, or null.
    let list = unsafe {
        sys::ast_sorcery_objectset_create2(instance, object, sys::AST_HANDLER_ONLY_STRING)
    };
    // SAFETY: the list lives until it is destroyed below.
    let fields = unsafe { config::variables(list) }
        .filter(|field| wanted.contains(&field.name))
        .map(|field| (field.name.to_owned(), field.value.to_owned()))
        .collect();
    // SAFETY: ours, destroyed once; null is fine.
    unsafe { sys::ast_variables_destroy(list) };
    Object { id, fields }
}

type Callback = Arc<dyn Fn(Event<'_>) + Send + Sync>;

/// All [`MAX_WATCHES`] are taken, or Asterisk has no memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no more than {MAX_WATCHES} watches at once")]
pub struct WatchError;

/// Watches all objects of one type. Ends on drop, after which the callback is not running and
/// will not run: so do not drop it in the callback, nor while you hold a lock that it wants.
///
/// If the module that is watched hangs in its own unload, so that the observer cannot be
/// removed, the drop gives up after a second: an error in the log says so, and this module's
/// code stays mapped until Asterisk ends. The callback is not called again then either, but may
/// still be running.
///
/// The callback runs on a thread of Asterisk's, one event at a time; it holds up sorcery's other
/// observers, so no I/O in it.
pub struct Watch {
    slot: &'static Slot,
}

impl Watch {
    /// A watch that is not attached yet: see [`Watch::attach`]. Any thread may call.
    ///
    /// # Errors
    ///
    /// [`WatchError`].
    pub fn new(
        module: &'static CStr,
        object_type: &'static CStr,
        callback: impl Fn(Event<'_>) + Send + Sync + 'static,
    ) -> Result<Self, WatchError> {
        let wanted = Wanted { module, object_type, callback: Arc::new(callback) };
        let slot = SLOTS.iter().find(|slot| slot.occupy(&wanted)).ok_or(WatchError)?;
        // SAFETY: a static structure of functions that stay mapped until `drop` has removed it.
        if unsafe { sys::ast_sorcery_global_observer_add(&raw const slot.destroying) } != 0 {
            *lock(&slot.wanted) = None;
            return Err(WatchError);
        }
        Ok(Self { slot })
    }

    /// Attaches to the module's objects, if it is there, and says whether the watch is attached
    /// now. Call it now and then, on a thread of your own: the module may be loaded later, or
    /// again. Objects that were there before give no event: ask [`all`] after this.
    ///
    /// Do not call it in the callback.
    pub fn attach(&self) -> bool {
        self.slot.attach()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.slot.detach() {
            // The functions are there for good, and what calls them may be, too: so the slot
            // stays taken, by nobody. The other thread may hold the list of global observers.
            self.slot.deafen();
            return;
        }
        // SAFETY: what was added. Takes the write lock of the list whose read lock is held
        // around `instance_destroying`, so that is not running when this returns.
        unsafe { sys::ast_sorcery_global_observer_remove(&raw const self.slot.destroying) };
        *lock(&self.slot.wanted) = None;
    }
}

#[derive(Clone)]
struct Wanted {
    module: &'static CStr,
    object_type: &'static CStr,
    callback: Callback,
}

/// One watch's place: static, for Asterisk keeps pointers to the functions and passes no data.
///
/// Why no callback can run once [`Slot::detach`] has returned: `ast_sorcery_observer_remove` is
/// an `ao2_callback` with `OBJ_UNLINK` on the type's list of observers, which takes the list's
/// _write_ lock (astobj2_container.c, `internal_ao2_traverse`; the list has a read-write lock,
/// sorcery.c, `sorcery_object_type_alloc`). Events are an `ao2_callback` without it on the same
/// list, so they run under its _read_ lock (sorcery.c, `sorcery_observers_notify_update`, ...).
///
/// Why the instance is alive in a callback: before it is destroyed `instance_destroying` runs,
/// which removes the observer, and so waits for callbacks that are running.
struct Slot {
    wanted: Mutex<Option<Wanted>>,
    /// Never held while a reference to an instance is given back: that may be the last one, and
    /// then `instance_destroying` wants this lock. Callbacks do not take it.
    attached: Mutex<Option<Attached>>,
    /// What we are attached to, for callbacks; null if to nothing.
    instance: AtomicPtr<sys::ast_sorcery>,
    observer: sys::ast_sorcery_observer,
    destroying: sys::ast_sorcery_global_observer,
}

struct Attached {
    /// Holds no reference.
    instance: *mut sys::ast_sorcery,
    object_type: &'static CStr,
    _file: MappedFile,
}

// SAFETY: the pointer is compared, and used only while the instance is alive (see `Slot`); an
// instance may be used on any thread.
unsafe impl Send for Attached {}

static SLOTS: [Slot; MAX_WATCHES] =
    [Slot::new::<0>(), Slot::new::<1>(), Slot::new::<2>(), Slot::new::<3>()];

impl Slot {
    const fn new<const N: usize>() -> Self {
        Self {
            wanted: Mutex::new(None),
            attached: Mutex::new(None),
            instance: AtomicPtr::new(ptr::null_mut()),
            observer: sys::ast_sorcery_observer {
                created: Some(created::<N>),
                updated: Some(updated::<N>),
                deleted: Some(deleted::<N>),
                loaded: Some(loaded::<N>),
            },
            destroying: sys::ast_sorcery_global_observer {
                instance_created: None,
                wizard_registered: None,
                instance_destroying: Some(instance_destroying::<N>),
                wizard_unregistering: None,
            },
        }
    }

    fn occupy(&self, by: &Wanted) -> bool {
        let mut wanted = lock(&self.wanted);
        if wanted.is_some() {
            return false;
        }
        *wanted = Some(by.clone());
        true
    }

    fn attach(&self) -> bool {
        let Some(wanted) = lock(&self.wanted).clone() else { return false };
        if lock(&self.attached).is_some() {
            return true;
        }
        let Some(file) = MappedFile::of(wanted.module) else { return false };
        let Some(instance) = instance(wanted.module) else { return false };

        let mut attached = lock(&self.attached);
        if attached.is_some() {
            return true;
        }
        let object_type = wanted.object_type;
        self.instance.store(instance.as_ptr(), Ordering::Release);
        // SAFETY: a live instance; the observer is static, and removed before it is unmapped.
        let status = unsafe {
            let (instance, name) = (instance.as_ptr(), object_type.as_ptr());
            sys::ast_sorcery_observer_add(instance, name, &raw const self.observer)
        };
        if status != 0 {
            // The module is loading, and does not have the type yet.
            return false;
        }
        *attached = Some(Attached { instance: instance.as_ptr(), object_type, _file: file });
        drop(attached);
        // And now `instance` gives its reference back.
        true
    }

    /// Whether it is detached now. If not, our code stays mapped for good.
    fn detach(&self) -> bool {
        let deadline = Instant::now() + DESTROY_WAIT;
        let module = lock(&self.wanted).as_ref().map(|wanted| wanted.module);
        let Some(module) = module else { return true };
        while lock(&self.attached).is_some() {
            if let Some(instance) = instance(module) {
                self.remove_from(instance.as_ptr());
            }
            if lock(&self.attached).is_none() {
                break;
            }
            // Ours is not found: it is being destroyed on another thread, which detaches us.
            // If our code cannot be kept, better wait on than be called when it is gone.
            if Instant::now() >= deadline && keep_own_code() {
                crate::error!(
                    "{module:?} hangs in its unload and may still call us: this module's code \
                     stays in memory until Asterisk is restarted, and cannot be replaced before"
                );
                return false;
            }
            thread::sleep(PAUSE);
        }
        true
    }

    /// Lets go of the callback and leaves the slot taken.
    fn deafen(&self) {
        if let Some(wanted) = lock(&self.wanted).as_mut() {
            wanted.callback = Arc::new(|_| {});
        }
    }

    /// Removes the observer, if it is attached to this very instance, which is alive.
    fn remove_from(&self, instance: *mut sys::ast_sorcery) {
        let mut attached = lock(&self.attached);
        let Some(ours) = attached.take_if(|attached| attached.instance == instance) else {
            return;
        };
        // SAFETY: a live instance, and what was added to it. Waits for running callbacks.
        unsafe {
            let name = ours.object_type.as_ptr();
            sys::ast_sorcery_observer_remove(instance, name, &raw const self.observer);
        }
        self.instance.store(ptr::null_mut(), Ordering::Release);
        drop(attached);
    }

    fn notify<'a>(&self, object: *const c_void, event: fn(Observed<'a>) -> Event<'a>) {
        guard("a sorcery observer", (), || {
            let Some(wanted) = lock(&self.wanted).clone() else { return };
            let Some(object) = NonNull::new(object.cast_mut()) else { return };
            let instance = self.instance.load(Ordering::Acquire);
            if !instance.is_null() {
                (wanted.callback)(event(Observed { instance, object, lent: PhantomData }));
            }
        });
    }

    fn notify_loaded(&self) {
        let wanted = lock(&self.wanted).clone();
        if let Some(wanted) = wanted {
            (wanted.callback)(Event::Loaded);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The instance that module `module` keeps its objects in, with a reference.
fn instance(module: &CStr) -> Option<Ref<sys::ast_sorcery>> {
    // SAFETY: NUL-terminated and not kept; locks internally.
    let instance = unsafe { sys::ast_sorcery_retrieve_by_module_name(module.as_ptr()) };
    // SAFETY: null, or an ao2 object with a reference for us (sorcery.h).
    unsafe { Ref::take(instance) }
}

unsafe extern "C" fn created<const N: usize>(object: *const c_void) {
    SLOTS[N].notify(object, Event::Created);
}

unsafe extern "C" fn updated<const N: usize>(object: *const c_void) {
    SLOTS[N].notify(object, Event::Updated);
}

unsafe extern "C" fn deleted<const N: usize>(object: *const c_void) {
    SLOTS[N].notify(object, Event::Deleted);
}

unsafe extern "C" fn loaded<const N: usize>(_object_type: *const c_char) {
    guard("a sorcery observer", (), || SLOTS[N].notify_loaded());
}

unsafe extern "C" fn instance_destroying<const N: usize>(
    _module: *const c_char,
    instance: *mut sys::ast_sorcery,
) {
    guard("a sorcery observer", (), || SLOTS[N].remove_from(instance));
}

/// Keeps the file that this code is in mapped until the process ends, and says whether it could.
fn keep_own_code() -> bool {
    let inside: *const c_void = (keep_own_code as fn() -> bool as *const ()).cast();
    // SAFETY: zero is a valid value of every field: pointers.
    let mut info: libc::Dl_info = unsafe { mem::zeroed() };
    // SAFETY: any address will do; the structure is ours.
    let found = unsafe { libc::dladdr(inside, &raw mut info) } != 0;
    if !found || info.dli_fname.is_null() {
        return false;
    }
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: the loader's own name of the file, which is mapped, for this runs in it. Nothing is
    // loaded and no code runs; that the handle is never closed is the point.
    !unsafe { libc::dlopen(info.dli_fname, flags) }.is_null()
}

/// Keeps a module's file mapped, and so its code and data where they are.
struct MappedFile(NonNull<c_void>);

// SAFETY: a handle may be closed on any thread.
unsafe impl Send for MappedFile {}

impl MappedFile {
    /// `None` if the module is not loaded.
    fn of(module: &CStr) -> Option<Self> {
        let folder = &raw const sys::ast_config_AST_MODULE_DIR;
        // SAFETY: Asterisk sets the pointer when it starts, before modules, and never after.
        let folder = unsafe { folder.read() };
        // SAFETY: NUL-terminated, and never changed.
        let folder = unsafe { text::borrow(folder) };
        let path = [folder.to_bytes(), b"/", module.to_bytes(), b".so"].concat();
        let path = text::lossy(path);
        // SAFETY: with RTLD_NOLOAD nothing is loaded and no code runs: the handle counts only.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        NonNull::new(handle).map(Self)
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: opened by us, closed once.
        unsafe { libc::dlclose(self.0.as_ptr()) };
    }
}
