//! What the attendant wants of the PBX, asked of Asterisk.
//!
//! Nothing here takes a channel's lock. Contacts may come from a database of Asterisk's, and the list of modules
//! waits for the loader: both are asked for in a way that refuses an unload meanwhile, for that would wait for us.

use std::{
    collections::HashMap,
    ffi::CStr,
    path::PathBuf,
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::{Duration, Instant, SystemTime},
};

use asterisk::{
    Instance as _, application,
    contact::{self, Contact},
    endpoint,
    loader::{self, Loaded, Support},
    security::{self, Attempt, Event, Transport},
    snapshot::{self, ChannelSnapshot},
    system,
};
use attendant::{Channel, Level, Module, Pbx, Peer, PeerState, Security, SecurityEvent, System};

use crate::PbxWeb;

/// How old the list of modules may be. Asking for it may wait for the loader, and keeps an unload
/// from beginning meanwhile.
const MODULES_AGE: Duration = Duration::from_secs(1);

/// Asterisk, as seen from inside.
#[derive(Default)]
pub(crate) struct Asterisk {
    modules: Mutex<Arc<[Module]>>,
    /// When they were asked for; held while they are.
    asked: Mutex<Option<Instant>>,
}

impl Pbx for Asterisk {
    fn system(&self) -> System {
        System {
            version: text(&system::version()),
            system_name: system::name().map(|name| text(&name)).unwrap_or_default(),
            host_name: system::host_name().map(|name| text(&name)).unwrap_or_default(),
            pid: process::id(),
            uptime: since(system::started()),
            since_reload: since(system::last_reload()),
            processed_calls: snapshot::processed_calls().into(),
            active_calls: snapshot::active_calls().into(),
            active_channels: snapshot::active_channels().into(),
            max_calls: snapshot::max_calls().map_or(0, |most| most.get().into()),
            fully_booted: system::is_fully_booted(),
            shutting_down: system::is_shutting_down(),
        }
    }

    fn modules(&self) -> Vec<Module> {
        self.known_modules().to_vec()
    }

    /// Asked often, and while Asterisk starts: so not of the loader, whose lock is held then.
    fn is_running(&self, module: &str) -> bool {
        match module {
            "app_universal.so" => application::is_registered(c"SetUniVar"),
            _ => lock(&self.modules).iter().any(|it| it.name == module && it.status == RUNNING),
        }
    }

    fn channels(&self) -> Vec<Channel> {
        let all = snapshot::channels().into_iter();
        all.filter(|channel| !channel.internal).map(|channel| shown(&channel)).collect()
    }

    fn peers(&self) -> Vec<Peer> {
        let mut addresses: HashMap<_, Vec<_>> = HashMap::new();
        let contacts = PbxWeb::with(|_| contact::all()).unwrap_or_default();
        for Contact { tech, resource, address, .. } in contacts {
            addresses.entry((tech, resource)).or_default().push(text(&address));
        }
        let all = endpoint::all_of_all().into_iter();
        all.map(|endpoint| {
            let its = (endpoint.tech, endpoint.resource);
            Peer {
                tech: text(&its.0),
                resource: text(&its.1),
                state: state(endpoint.state),
                channels: endpoint.channels.iter().map(|id| text(id)).collect(),
                contacts: addresses.remove(&its).unwrap_or_default(),
            }
        })
        .collect()
    }

    fn control_socket(&self) -> PathBuf {
        system::control_socket()
    }

    fn security(&self, event: &SecurityEvent<'_>) {
        let session = event.remote.to_string();
        let attempt = Attempt {
            service: "pbx_web",
            module: crate::NAME,
            account: event.user,
            session: &session,
            since: None,
            local: event.local,
            remote: event.remote,
            transport: if event.is_secure { Transport::Tls } else { Transport::Tcp },
        };
        let event = match event.what {
            Security::FailedAcl => Event::FailedAcl { acl: "pbx_web.conf" },
            Security::InvalidAccount => Event::InvalidAccount,
            Security::InvalidPassword => Event::InvalidPassword,
            Security::LoadLimit => Event::SessionLimit,
            Security::SuccessfulAuth => Event::SuccessfulAuth { using_password: true },
            Security::NotAllowed => Event::RequestNotAllowed { request: "HTTP", parameters: "" },
        };
        security::report(event, &attempt);
    }

    fn log(&self, level: Level, message: &str) {
        match level {
            Level::Notice => asterisk::notice!("{message}"),
            Level::Warning => asterisk::warning!("{message}"),
            Level::Error => asterisk::error!("{message}"),
        }
    }
}

const RUNNING: &str = "Running";

impl Asterisk {
    /// Who finds somebody else asking takes what was known before, if anything was.
    fn known_modules(&self) -> Arc<[Module]> {
        let known = Arc::clone(&lock(&self.modules));
        let mut asked = match self.asked.try_lock() {
            Ok(asked) => asked,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return known,
        };
        if asked.is_none_or(|at| at.elapsed() >= MODULES_AGE)
            && let Some(found) = loader::modules::<PbxWeb>()
        {
            *lock(&self.modules) = found.iter().map(module).collect();
            *asked = Some(Instant::now());
        }
        Arc::clone(&lock(&self.modules))
    }
}

fn module(loaded: &Loaded) -> Module {
    Module {
        name: text(&loaded.name),
        description: text(&loaded.description),
        use_count: loaded.uses.try_into().unwrap_or(i32::MAX),
        status: if loaded.running { RUNNING } else { "Not Running" }.to_owned(),
        support: match loaded.support {
            Support::Core => "core",
            Support::Extended => "extended",
            Support::Deprecated => "deprecated",
            Support::Unknown => "unknown",
        }
        .to_owned(),
    }
}

fn shown(channel: &ChannelSnapshot) -> Channel {
    Channel {
        name: text(&channel.name),
        unique_id: text(&channel.unique_id),
        linked_id: text(&channel.linked_id),
        state: channel.state.as_str().to_owned(),
        caller_number: text(&channel.caller.number),
        caller_name: text(&channel.caller.name),
        connected_number: text(&channel.connected.number),
        connected_name: text(&channel.connected.name),
        context: text(&channel.context),
        extension: text(&channel.extension),
        priority: channel.priority,
        application: text(&channel.application),
        application_data: text(&channel.data),
        account: text(&channel.account),
        bridge_id: text(&channel.bridge),
        duration: since(channel.created),
    }
}

fn state(state: endpoint::State) -> PeerState {
    match state {
        endpoint::State::Online => PeerState::Online,
        endpoint::State::Offline => PeerState::Offline,
        endpoint::State::Unknown => PeerState::Unknown,
    }
}

fn since(then: SystemTime) -> Duration {
    // A clock that was set back makes nothing older.
    then.elapsed().unwrap_or_default()
}

fn text(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
