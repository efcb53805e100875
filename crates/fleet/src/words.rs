//! Asterisk's words, and what they mean.

use std::net::SocketAddr;

use ami_proto::Message;

use crate::text::{Text, number, text};
use crate::view::{Device, Driver, OutboundState, PeerId, Registration};

/// `PJSIP/200`.
pub(crate) fn peer_id(name: &str) -> Option<PeerId> {
    let (driver, name) = name.split_once('/')?;
    let driver = driver_of(driver)?;
    (!name.is_empty()).then(|| PeerId { driver, name: name.into() })
}

pub(crate) fn driver_of(word: &str) -> Option<Driver> {
    match word {
        "PJSIP" => Some(Driver::Pjsip),
        // chan_iax2.c says IAX in IAXpeerlist, and IAX2 elsewhere.
        "IAX" | "IAX2" => Some(Driver::Iax2),
        "SIP" => Some(Driver::Sip),
        _ => None,
    }
}

/// `200` and PJSIP of `PJSIP/200-0000001c`; every driver puts a hyphen and a number of its own last.
pub(crate) fn channel_peer(channel: &str) -> Option<PeerId> {
    peer_id(channel.rsplit_once('-')?.0)
}

/// `NOT_INUSE` and `Not in use`: both columns of `devicestate.c`'s table.
pub(crate) fn device(word: &[u8]) -> Device {
    let letters: Vec<u8> =
        word.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_lowercase).collect();
    match &letters[..] {
        b"notinuse" => Device::Idle,
        b"inuse" => Device::InUse,
        b"busy" => Device::Busy,
        b"invalid" => Device::Invalid,
        b"unavailable" => Device::Unavailable,
        b"ringing" => Device::Ringing,
        b"ringinuse" => Device::RingInUse,
        b"onhold" => Device::OnHold,
        _ => Device::Unknown,
    }
}

/// `regstate2str` of `chan_iax2.c` and `chan_sip.c`, and `sip_outbound_registration_status_str` of
/// `res_pjsip_outbound_registration.c`.
pub(crate) fn outbound(word: &[u8]) -> OutboundState {
    match word {
        b"Registered" => OutboundState::Registered,
        b"Request Sent" | b"Auth. Sent" => OutboundState::Asked,
        b"Rejected" | b"No Authentication" | b"Failed" => OutboundState::Rejected,
        b"Timeout" => OutboundState::TimedOut,
        b"Unregistered" | b"Stopping" | b"Stopped" => OutboundState::Unregistered,
        _ => OutboundState::Unknown,
    }
}

/// How a contact is: `status_map` of `pjsip_options.c`, and what older versions said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Contact {
    /// It answers, is not asked, or was not asked yet.
    There,
    Unreachable,
    Removed,
}

pub(crate) fn contact(word: &[u8]) -> Contact {
    match word {
        b"Unreachable" => Contact::Unreachable,
        b"Removed" => Contact::Removed,
        _ => Contact::There,
    }
}

/// Host and port of `sip:200@10.0.0.1:5060;transport=udp`.
pub(crate) fn uri_address(uri: &str) -> Option<Text> {
    let (_, rest) = uri.split_once(':')?;
    // The user may have a semicolon in it, and a parameter an at sign; the first at sign ends the user.
    let rest = rest.split_once('@').map_or(rest, |(_, host)| host);
    let end = rest.find([';', '?', '>', '/']).unwrap_or(rest.len());
    (end > 0).then(|| rest[..end].into())
}

/// What a line of `IAXpeerlist` or `SIPpeers` says of how a peer is reached, or a `PeerStatus`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Line {
    pub(crate) registration: Registration,
    pub(crate) address: Option<Text>,
    pub(crate) round_trip_us: Option<u64>,
    pub(crate) is_static: bool,
}

impl Line {
    /// `_iax2_show_peers_one` and `peer_status` of `chan_iax2.c`; `chan_sip.c` says the same.
    pub(crate) fn of_entry(message: Message<'_>) -> Self {
        let status = message.get("Status").unwrap_or_default();
        let is_static = message.get("Dynamic") == Some(b"no");
        let port = number(message, "Port").or_else(|| number(message, "IPport"));
        let address = address(text(message, "IPaddress"), port);
        let registration = match status {
            _ if address.is_none() => Registration::Unregistered,
            b"UNREACHABLE" => Registration::Unreachable,
            _ if status.starts_with(b"LAGGED") => Registration::Lagged,
            _ => there(is_static),
        };
        Self { registration, address, round_trip_us: in_brackets(status), is_static }
    }

    /// What a `PeerStatus` makes of it (`chan_iax2.c`, `update_registry` and `socket_process`).
    #[must_use]
    pub(crate) fn after_status(&self, message: Message<'_>) -> Self {
        let mut line = self.clone();
        let time_us = number(message, "Time").map(|ms| ms.saturating_mul(1000));
        match message.get("PeerStatus").unwrap_or_default() {
            b"Registered" => {
                line.registration = there(self.is_static);
                // chan_sip tells both in one text; chan_iax2 gives the port as a number, and
                // `peerstatus_to_ami` of stasis_endpoints.c tells only strings.
                let told = text(message, "Address");
                let has_port = told.as_deref().is_some_and(has_port);
                line.address = match number(message, "Port") {
                    Some(port) => address(told, Some(port)),
                    None if !has_port && is_same_host(self.address.as_deref(), told.as_deref()) => {
                        line.address
                    }
                    None => told,
                };
            }
            b"Unregistered" => {
                line = Self { is_static: self.is_static, ..Self::default() };
                line.registration = Registration::Unregistered;
            }
            b"Reachable" => {
                (line.registration, line.round_trip_us) = (there(self.is_static), time_us);
            }
            b"Lagged" => (line.registration, line.round_trip_us) = (Registration::Lagged, time_us),
            b"Unreachable" => {
                (line.registration, line.round_trip_us) = (Registration::Unreachable, None);
            }
            _ => {}
        }
        line
    }
}

fn there(is_static: bool) -> Registration {
    if is_static { Registration::Static } else { Registration::Registered }
}

/// None if there is none: `(null)`, `-none-` and port 0 are how it is printed.
fn address(host: Option<Text>, port: Option<u64>) -> Option<Text> {
    let host = host.filter(|host| !matches!(host.as_str(), "(null)" | "-none-" | "0.0.0.0"))?;
    let port = port.filter(|&port| port != 0)?;
    let is_v6 = host.contains(':') && !host.starts_with('[');
    let address = if is_v6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Some(address.as_str().into())
}

/// Whether they are the same but for a port; IPv6 has brackets with one, and none without.
pub(crate) fn is_same_host(one: Option<&str>, other: Option<&str>) -> bool {
    fn host(address: &str) -> &str {
        match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, _)) => host,
            None => match address.split_once(':') {
                Some((host, port)) if !port.contains(':') => host,
                _ => address,
            },
        }
    }
    one.map(host) == other.map(host)
}

fn has_port(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok()
}

/// 12000 of `OK (12 ms)`.
fn in_brackets(status: &[u8]) -> Option<u64> {
    let status = std::str::from_utf8(status).ok()?;
    let (ms, _) = status.split_once('(')?.1.split_once(" ms)")?;
    ms.parse::<u64>().ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_what_is_printed_for_none() {
        assert_eq!(address(Some("10.0.0.1".into()), Some(4569)), Some("10.0.0.1:4569".into()));
        assert_eq!(address(Some("::1".into()), Some(5060)), Some("[::1]:5060".into()));
        assert_eq!(address(Some("(null)".into()), Some(0)), None);
        assert!(is_same_host(Some("[::1]:5060"), Some("::1")));
        assert!(is_same_host(Some("10.0.0.1:5060"), Some("10.0.0.1")));
        assert!(!is_same_host(Some("10.0.0.1"), None));
        let uri = "sip:200@10.0.0.1:5061;ob;x=a@b";
        assert_eq!(uri_address(uri).as_deref(), Some("10.0.0.1:5061"));
        assert_eq!(uri_address("sip:b.example").as_deref(), Some("b.example"));
        assert_eq!(uri_address("nothing"), None);
    }
}
