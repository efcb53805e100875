//! What a module has registered with Asterisk, and how each is taken back.
//!
//! Registered in the order that `Module::load` named them in; unregistered in reverse, but
//! applications and switches first ([`Held::close_and_unregister_all`] says why). The kinds
//! (applications, functions, switches, CLI commands, AMI actions) live in their own files and implement
//! [`Registration`] here.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::thread;
use std::time::{Duration, Instant};

use asterisk_sys as sys;

use crate::application::{self, Application};
use crate::cli::{self, Command};
use crate::dialplan;
use crate::function::{self, Function};
use crate::gate::Gate;
use crate::manager::{self, Action};
use crate::module::Instance;
use crate::switch::{self, Switch, Takes};

/// How long an unload waits for who is on the way in or out.
const IN_USE_WAIT: Duration = Duration::from_secs(1);

/// How long whoever has looked a callback up takes to call it, amply: mostly some microseconds.
const GRACE: Duration = Duration::from_millis(50);

/// Takes down what is to be registered once `Module::load` has returned.
pub struct Registry<M> {
    wanted: Vec<Box<dyn Registration>>,
    module: PhantomData<fn(M)>,
}

impl<M> Registry<M> {
    pub(crate) fn new() -> Self {
        Self { wanted: Vec::new(), module: PhantomData }
    }
}

impl<M: Instance> Registry<M> {
    /// Adds a dialplan application.
    pub fn application<A: Application<Module = M>>(&mut self) -> &mut Self {
        self.add(Box::new(application::Registered::<A>::new()))
    }

    /// Adds a dialplan function.
    pub fn function<F: Function<Module = M>>(&mut self) -> &mut Self {
        self.add(Box::new(function::Registered::<F>::new()))
    }

    /// Adds a dialplan switch.
    pub fn switch<S: Switch<Module = M>>(&mut self) -> &mut Self {
        self.add(Box::new(switch::Registered::<S>::new()))
    }

    /// Adds a CLI command.
    pub fn command<C: Command<Module = M>>(&mut self) -> &mut Self {
        self.add(Box::new(cli::Registered::<C>::new()))
    }

    /// Adds an AMI action.
    pub fn action<A: Action<Module = M>>(&mut self) -> &mut Self {
        self.add(Box::new(manager::Registered::<A>::new()))
    }

    fn add(&mut self, registration: Box<dyn Registration>) -> &mut Self {
        self.wanted.push(registration);
        self
    }
}

/// One thing that Asterisk knows by name and calls back.
pub(crate) trait Registration: Send {
    /// What it is, for the log.
    fn kind(&self) -> &'static str;
    /// The name it is registered by.
    fn name(&self) -> &'static CStr;
    /// Whether Asterisk finds it under the lock of the dialplan, and how a channel comes to it.
    fn in_dialplan(&self) -> InDialplan<'_> {
        InDialplan::No
    }
    /// Whether Asterisk took it.
    fn register(&mut self, module: *mut sys::ast_module) -> bool;
    /// Whether Asterisk has let go of it; `false` asks to try again in a moment. Called only
    /// after `register` returned true, until it returns true once.
    fn unregister(&mut self) -> bool;
}

/// How a channel comes to what is registered.
pub(crate) enum InDialplan<'a> {
    /// By another way than the dialplan's priorities.
    No,
    /// By a priority that has its name. Asterisk frees its own part of it on `unregister`.
    Application,
    /// By an extension that a context does not have itself.
    Switch(&'a dyn Takes),
}

impl InDialplan<'_> {
    fn is_there(&self) -> bool {
        !matches!(self, Self::No)
    }
}

/// Asterisk refused a registration, mostly because the name is taken.
#[derive(Debug, thiserror::Error)]
#[error("Asterisk did not take the {kind} {name:?}: is the name taken?")]
pub(crate) struct Refused {
    kind: &'static str,
    name: &'static CStr,
}

/// What is registered at present.
pub(crate) struct Held {
    registered: Vec<Box<dyn Registration>>,
    /// Unregistered, and kept for who has looked them up just before.
    leaving: Vec<Box<dyn Registration>>,
}

impl Held {
    pub(crate) const fn nothing() -> Self {
        Self { registered: Vec::new(), leaving: Vec::new() }
    }

    pub(crate) fn register_all<M>(
        &mut self,
        registry: Registry<M>,
        module: *mut sys::ast_module,
    ) -> Result<(), Refused> {
        for mut registration in registry.wanted {
            if !registration.register(module) {
                return Err(Refused { kind: registration.kind(), name: registration.name() });
            }
            self.registered.push(registration);
        }
        Ok(())
    }

    /// Closes the gate and takes everything back; whether that is done. If not, the module is
    /// in use: try again.
    ///
    /// Asterisk looks a callback up, lets go of its locks, and only then counts itself as a
    /// user. Whoever is on that way when the callback is unregistered ends in freed memory. Of
    /// applications Asterisk frees the structure itself, and the way is long: `dialplan.rs`
    /// finds a moment when nobody is on it, nor on the short one to a switch. The others'
    /// structures are ours, and are freed, as the file is unmapped, only [`GRACE`] later.
    pub(crate) fn close_and_unregister_all(&mut self, gate: &Gate) -> bool {
        let wanted: Vec<&dyn Registration> = self
            .registered
            .iter()
            .filter(|registration| registration.in_dialplan().is_there())
            .map(|registration| &**registration)
            .collect();
        let Some(contexts) = dialplan::lock_when_quiet(&wanted) else { return false };
        if !gate.close() {
            return false;
        }
        // Reverse order, but that these go first, while the dialplan stands still.
        let (wanted, others) = self
            .registered
            .drain(..)
            .partition(|registration| registration.in_dialplan().is_there());
        self.registered = others;
        let mut wanted: Vec<_> = wanted;
        while let Some(mut registration) = wanted.pop() {
            registration.unregister();
            self.leaving.push(registration);
        }
        drop(contexts);

        while let Some(mut registration) = self.registered.pop() {
            if !wait_until(|| registration.unregister()) {
                self.registered.push(registration);
                return false;
            }
            self.leaving.push(registration);
        }
        if !self.leaving.is_empty() {
            thread::sleep(GRACE);
        }
        if !wait_until(|| gate.is_deserted()) {
            return false;
        }
        self.leaving.clear();
        true
    }
}

fn wait_until(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + IN_USE_WAIT;
    while !done() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::yield_now();
    }
    true
}
