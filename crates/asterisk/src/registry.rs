//! What a module has registered with Asterisk, and how each is taken back.
//!
//! Registered in the order that `Module::load` named them in, unregistered in reverse. The kinds
//! (applications, functions, CLI commands, AMI actions) live in their own files and implement
//! [`Registration`] here.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use asterisk_sys as sys;

use crate::application::{self, Application};
use crate::cli::{self, Command};
use crate::function::{self, Function};
use crate::manager::{self, Action};
use crate::module::Instance;

/// How long an unload waits for a CLI command that Asterisk has looked up and not yet called.
const IN_USE_WAIT: Duration = Duration::from_secs(1);

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
    /// Whether Asterisk took it.
    fn register(&mut self, module: *mut sys::ast_module) -> bool;
    /// Whether Asterisk has let go of it; `false` asks to try again in a moment. Called only
    /// after `register` returned true, until it returns true once.
    fn unregister(&mut self) -> bool;
}

/// Asterisk refused a registration, mostly because the name is taken.
#[derive(Debug, thiserror::Error)]
#[error("Asterisk did not take the {kind} {name:?}: is the name taken?")]
pub(crate) struct Refused {
    kind: &'static str,
    name: &'static CStr,
}

/// What is registered at present.
pub(crate) struct Held(Vec<Box<dyn Registration>>);

impl Held {
    pub(crate) const fn nothing() -> Self {
        Self(Vec::new())
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
            self.0.push(registration);
        }
        Ok(())
    }

    /// Whether nothing is registered any more. What could not be taken back stays held.
    pub(crate) fn unregister_all(&mut self) -> bool {
        while let Some(mut registration) = self.0.pop() {
            let deadline = Instant::now() + IN_USE_WAIT;
            while !registration.unregister() {
                if Instant::now() >= deadline {
                    self.0.push(registration);
                    return false;
                }
                std::thread::yield_now();
            }
        }
        true
    }
}
