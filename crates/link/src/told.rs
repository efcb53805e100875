//! What of Asterisk's events and lists an agent tells: what a hub reads, and nothing beside it.
//!
//! AMI prints secrets where nobody would look for them: `DialBegin` has the whole dial string
//! (`IAX2/user:secret@host`), `CoreShowChannel` has it as `ApplicationData`, channel variables are
//! whatever somebody wrote there, and chan_pjsip lists an endpoint's password (`AuthDetail`). What is
//! not known to be harmless stays where it is.

use ami_proto::{Message, OwnedMessage};

use crate::message;

const EVENTS: [&str; 28] = [
    "AorDetail",
    "BridgeEnter",
    "BridgeLeave",
    "ContactList",
    "ContactStatus",
    "ContactStatusDetail",
    "CoreShowChannel",
    "DeviceStateChange",
    "EndpointDetail",
    "EndpointList",
    "FullyBooted",
    "Hangup",
    "Hold",
    "MessageWaiting",
    "NewCallerid",
    "NewConnectedLine",
    "Newchannel",
    "Newexten",
    "Newstate",
    "OutboundRegistrationDetail",
    "PeerEntry",
    "PeerStatus",
    "Registry",
    "RegistryEntry",
    "Reload",
    "Rename",
    "Unhold",
    "VoicemailUserEntry",
];

const HEADERS: [&str; 53] = [
    "Address",
    "BridgeId",
    "BridgeType",
    "BridgeUniqueid",
    "CallerIDName",
    "CallerIDNum",
    "Callerid",
    "Channel",
    "ChannelState",
    "ChannelType",
    "ClientUri",
    "ContactStatus",
    "Contacts",
    "Device",
    "DeviceState",
    "Domain",
    "Duration",
    "Dynamic",
    "Endpoint",
    "EndpointName",
    "Event",
    "Exten",
    "Host",
    "IPaddress",
    "IPport",
    "LastReload",
    "Linkedid",
    "Mailbox",
    "Mailboxes",
    "New",
    "NewMessageCount",
    "NewMessages",
    "Newname",
    "ObjectName",
    "Old",
    "OldMessageCount",
    "OldMessages",
    "Peer",
    "PeerStatus",
    "Port",
    "RoundtripUsec",
    "ServerUri",
    "State",
    "Status",
    "Time",
    "URI",
    "Uniqueid",
    "Uptime",
    "UrgMessages",
    "UserAgent",
    "Username",
    "VMContext",
    "VoiceMailbox",
];

/// What is told of an event or a list's item, if anything is.
#[must_use]
pub fn told(said: Message<'_>) -> Option<OwnedMessage> {
    let event = said.event()?;
    if !EVENTS.iter().any(|known| known.as_bytes() == event) {
        return None;
    }
    let mut told = OwnedMessage::default();
    let is_read =
        |name: &[u8]| HEADERS.iter().any(|read| read.as_bytes().eq_ignore_ascii_case(name));
    for header in said.headers().filter(|header| is_read(header.name)) {
        message::add(&mut told, header.name, header.value);
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&str, &str)]) -> OwnedMessage {
        let mut message = OwnedMessage::default();
        for (name, value) in headers {
            message.push(name, value).expect("it may be said");
        }
        message
    }

    #[test]
    fn what_may_have_a_secret_in_it_is_not_told() {
        for event in ["AuthDetail", "TransportDetail", "IdentifyDetail", "DialBegin", "VarSet"] {
            assert_eq!(told(message(&[("Event", event)]).as_message()), None, "{event}");
        }
        let channel = message(&[
            ("Event", "CoreShowChannel"),
            ("Channel", "PJSIP/200-00000001"),
            ("Application", "Dial"),
            ("ApplicationData", "IAX2/user:secret@10.0.0.1/200,20"),
            ("ChanVariable", "PIN=1234"),
        ]);
        let endpoint = message(&[
            ("Event", "EndpointDetail"),
            ("SetVar", "TOKEN=x"),
            ("Callerid", "Ann"),
            ("Password", "x"),
        ]);
        let user =
            message(&[("Event", "VoicemailUserEntry"), ("Email", "a@b"), ("VMContext", "c")]);
        let left = |message: &OwnedMessage| told(message.as_message()).expect("some of it");
        let expected = message(&[("Event", "CoreShowChannel"), ("Channel", "PJSIP/200-00000001")]);
        assert_eq!(left(&channel), expected);
        assert_eq!(left(&endpoint), message(&[("Event", "EndpointDetail"), ("Callerid", "Ann")]));
        assert_eq!(left(&user), message(&[("Event", "VoicemailUserEntry"), ("VMContext", "c")]));
    }
}
