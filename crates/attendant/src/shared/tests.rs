//! What a reload changes, and what is said of whom, without sockets.

use std::path::PathBuf;

use super::*;
use crate::pbx::{Channel, Module, System};
use crate::settings::{RawLine, check};

const PASSWORD: &str = "tandem-tandem";

/// A PBX that keeps what it is told.
#[derive(Default)]
struct Notes {
    log: Mutex<Vec<String>>,
    security: Mutex<Vec<Security>>,
}

impl Pbx for Notes {
    fn system(&self) -> System {
        System::default()
    }

    fn modules(&self) -> Vec<Module> {
        Vec::new()
    }

    fn is_running(&self, _module: &str) -> bool {
        false
    }

    fn channels(&self) -> Vec<Channel> {
        Vec::new()
    }

    fn peers(&self) -> Vec<crate::pbx::Peer> {
        Vec::new()
    }

    fn control_socket(&self) -> PathBuf {
        PathBuf::new()
    }

    fn security(&self, event: &SecurityEvent<'_>) {
        lock(&self.security).push(event.what);
    }

    fn log(&self, _level: Level, message: &str) {
        lock(&self.log).push(message.to_owned());
    }
}

fn settings(rules: &[&str]) -> Settings {
    static LINE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let user = LINE
        .get_or_init(|| crate::new_user("anna", Role::Admin, Some(PASSWORD)).expect("a user").line);
    let user = ("users", user.as_str());
    let lines = rules.iter().map(|rule| ("acl", *rule)).chain([user]).map(|(section, line)| {
        let (name, value) = line.split_once(" = ").expect("a line");
        let (section, name, value) = (section.into(), name.into(), value.into());
        RawLine { section, name, value, ..RawLine::default() }
    });
    check(&lines.collect::<Vec<_>>()).expect("good settings")
}

fn shared(rules: &[&str]) -> (Shared, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    (Shared::new(settings(rules), notes.clone()).expect("random numbers"), notes)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn a_reload_that_takes_the_last_rule_away_lets_in_nobody_but_this_machine() {
    let (shared, _) = shared(&["permit = 192.0.2.0/24"]);
    assert!(shared.admits(address("192.0.2.1")) && !shared.admits(address("198.51.100.1")));
    shared.reload(settings(&[]));
    for far in ["192.0.2.1", "198.51.100.1", "2001:db8::1"] {
        assert!(!shared.admits(address(far)), "{far}");
    }
    assert!(shared.admits(address("127.0.0.1")) && shared.admits(address("::1")));
}

fn peer(from: &str) -> Peer {
    let at = |text: &str| std::net::SocketAddr::new(address(text), 8011);
    Peer { remote: at(from), local: at("192.0.2.99"), is_secure: false }
}

#[test]
fn who_has_to_wait_for_others_is_told_so_and_not_accused() {
    let (shared, notes) = shared(&["permit = ::/0", "permit = 0.0.0.0/0"]);
    let now = Instant::now();
    assert_eq!(shared.begin_login("anna", &peer("192.0.2.7"), now), Ok(()));
    assert!(shared.login("anna", PASSWORD, &peer("192.0.2.7"), now).is_ok());
    let mut number = 0_u8;
    let refused = loop {
        let from = format!("198.51.100.{number}");
        if let Err(error) = shared.begin_login("anna", &peer(&from), now) {
            break error;
        }
        number += 1;
    };
    assert!(refused.to_string().contains("from many addresses; try again in 60 s"), "{refused}");
    assert!(shared.begin_login("anna", &peer("203.0.113.1"), now).is_err());
    assert_eq!(lock(&notes.security)[..], [Security::SuccessfulAuth], "nobody is banned for it");
    let log = lock(&notes.log);
    assert!(log.len() == 1 && log[0].contains("from many addresses"), "{log:?}");
    assert!(!log[0].contains("198.51.100") && !log[0].contains("203.0.113"), "{log:?}");
    assert_eq!(shared.begin_login("anna", &peer("192.0.2.7"), now), Ok(()), "they came in before");
}
