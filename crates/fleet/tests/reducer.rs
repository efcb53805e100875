//! What servers say, and what is shown then.

mod server;

use std::path::Path;

use ami_proto::Failure;
use fleet::{
    ANSWER_AFTER, Answer, CONTACTS_MAX, CallState, Config, Direction, Driver, Fleet, Freshness,
    Gap, OutboundId, OutboundState, PeerId, RECONCILE_EVERY, RETRY_AFTER, Registration,
    TEXT_MAX_BYTES, Time, What,
};
use server::{A, NOON, Script, done, fleet_of, item, message, tell, until_asked, view, watched};

const OFFICE: &str = include_str!("transcripts/office.ami");
/// What an Asterisk 16.28 of the lab said, less what is no concern of ours.
const ASTERISK_16: &str = include_str!("transcripts/asterisk16.ami");

fn office() -> (Script, Fleet) {
    let script = Script::parse(OFFICE);
    let trunks = vec!["PJSIP/provider".to_owned(), "IAX2/br*".to_owned()];
    let fleet = watched(&script, Config { trunks, ..Config::default() });
    (script, fleet)
}

fn registration(fleet: &Fleet, driver: Driver, name: &str) -> Option<Registration> {
    view(fleet).peer(&PeerId { driver, name: name.into() }).map(|peer| peer.registration)
}

fn channel(event: &str, id: u32, linkedid: u32, more: &str) -> String {
    format!(
        "Event: {event}\nChannel: PJSIP/{id}-0000000{id}\nChannelState: 6\nCallerIDNum: {id}\n\
         Exten: 9\nUniqueid: 1765000000.{id}\nLinkedid: 1765000000.{linkedid}\n{more}"
    )
}

fn later(seconds: u64) -> Time {
    Time { ms: NOON.ms + seconds * 1000 }
}

/// Compares with a file; with `FLEET_GOLDEN=write` it is written.
fn assert_golden(name: &str, fleet: &Fleet) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
    let shown = serde_json::to_string_pretty(&fleet.snapshot()).expect("it serialises") + "\n";
    if std::env::var_os("FLEET_GOLDEN").is_some() {
        std::fs::write(&path, &shown).expect("it may be written");
    }
    let golden = std::fs::read_to_string(&path).expect("there is one");
    assert!(golden == shown, "{name} is otherwise:\n{shown}");
}

#[test]
fn an_office_is_shown_as_its_transcript_says_before_and_after_events() {
    let (script, mut fleet) = office();
    assert_golden("office-snapshot.json", &fleet);
    for event in &script.events {
        fleet.event(later(5), A, event.as_message());
    }
    assert_golden("office-events.json", &fleet);
}

#[test]
fn an_asterisk_16_is_shown_as_its_transcript_says_before_and_after_events() {
    let script = Script::parse(ASTERISK_16);
    let mut fleet = watched(&script, Config::default());
    assert_golden("asterisk16-snapshot.json", &fleet);
    for event in &script.events {
        fleet.event(later(5), A, event.as_message());
    }
    assert_golden("asterisk16-events.json", &fleet);
}

#[test]
fn nothing_is_known_before_it_was_said_and_it_ages_when_the_session_ends() {
    let mut fleet = fleet_of(Config::default());
    assert_eq!(view(&fleet).info().parts.calls, Freshness::Unknown);
    assert_eq!(fleet.poll_request(NOON, A), None, "nobody is asked without a session");

    let (script, mut fleet) = office();
    assert_eq!(view(&fleet).info().parts.calls, Freshness::Live);
    assert_eq!(view(&fleet).info().parts.sip, Freshness::NotOffered);
    fleet.heard(later(3), A);
    fleet.disconnected(later(7), A);
    let heard = Freshness::AsOf(later(3));
    assert_eq!(view(&fleet).info().parts.calls, heard, "and not when its silence was noticed");
    assert_eq!(view(&fleet).info().calls, 1, "as of then");
    tell(&mut fleet, later(8), &channel("Newchannel", 5, 5, ""));
    assert_eq!(view(&fleet).info().calls, 1, "without a session there are no events");

    fleet.connected(later(9), A, b"11.0.0");
    assert_eq!(view(&fleet).info().parts.calls, heard, "not listed yet");
    script.settle(&mut fleet, later(9));
    assert_eq!(view(&fleet).info().parts.calls, Freshness::Live);
    assert_eq!(view(&fleet).info().drift, 0, "what changed in the gap is no drift");
}

#[test]
fn a_call_that_ended_while_the_session_was_away_is_gone_and_one_that_goes_on_is_there_once() {
    let (mut script, mut fleet) = office();
    tell(&mut fleet, NOON, &channel("Newchannel", 1, 1, ""));
    assert_eq!(view(&fleet).info().calls, 2);
    let since = view(&fleet).call("office-1764999990.7").expect("a call").since_ms;
    fleet.disconnected(later(1), A);
    fleet.connected(later(60), A, b"11.0.0");
    script.settle(&mut fleet, later(60));
    assert_eq!(view(&fleet).info().calls, 1);
    assert_eq!(view(&fleet).call("office-1764999990.7").expect("a call").since_ms, since);

    script.set("CoreShowChannels").clear();
    fleet.disconnected(later(61), A);
    fleet.connected(later(62), A, b"11.0.0");
    script.settle(&mut fleet, later(62));
    assert_eq!(view(&fleet).info().calls, 0);
}

#[test]
fn a_channel_that_hangs_up_while_it_is_listed_does_not_come_back() {
    let script = Script::parse(OFFICE);
    let mut fleet = fleet_of(Config::default());
    fleet.connected(NOON, A, b"11.0.0");
    let request = until_asked(&script, &mut fleet, "CoreShowChannels");
    tell(&mut fleet, NOON, &channel("Newchannel", 1, 1, ""));
    tell(&mut fleet, NOON, &channel("Newchannel", 2, 2, ""));
    tell(&mut fleet, NOON, &channel("Hangup", 1, 1, "Cause: 16"));
    item(&mut fleet, request, &channel("CoreShowChannel", 1, 1, "Duration: 00:00:00"));
    item(&mut fleet, request, &channel("CoreShowChannel", 3, 3, "Duration: 00:00:30"));
    tell(&mut fleet, NOON, &channel("Hangup", 3, 3, "Cause: 16"));
    item(&mut fleet, request, &channel("CoreShowChannel", 3, 3, "Duration: 00:00:30"));
    done(&mut fleet, request);
    script.settle(&mut fleet, NOON);
    let calls: Vec<_> = view(&fleet).calls().map(|call| call.id.as_str()).collect();
    assert_eq!(calls, ["1765000000.2"], "it began after the question, so the list may lack it");
    tell(&mut fleet, NOON, &channel("Newstate", 1, 1, ""));
    assert_eq!(view(&fleet).info().calls, 1, "what comes after the end is no beginning");
}

#[test]
fn a_transfer_makes_one_call_of_two_even_if_an_old_list_is_read_after_it() {
    let script = Script::parse("@ CoreShowChannels");
    let mut fleet = watched(&script, Config::default());
    let bridge = "BridgeUniqueid: b1\nBridgeType: basic";
    for (event, id, linkedid) in [
        ("Newchannel", 1, 1),
        ("Newchannel", 2, 1),
        ("Newchannel", 3, 3),
        ("Newchannel", 4, 3),
        ("BridgeEnter", 4, 3),
    ] {
        let more = if event == "BridgeEnter" { bridge } else { "" };
        tell(&mut fleet, NOON, &channel(event, id, linkedid, more));
    }
    assert_eq!(view(&fleet).info().calls, 2);
    let before = fleet.seq();

    fleet.handle_timeout(Time { ms: u64::MAX }, A);
    let request = until_asked(&script, &mut fleet, "CoreShowChannels");
    // Channel 2 is put in the place of 3: only its own event tells the common Linkedid.
    tell(&mut fleet, NOON, &channel("BridgeEnter", 2, 1, bridge));
    tell(&mut fleet, NOON, &channel("Hangup", 3, 3, ""));
    for (id, more) in [(1, ""), (2, ""), (4, "BridgeId: b1")] {
        let linkedid = if id == 4 { 3 } else { 1 };
        item(&mut fleet, request, &channel("CoreShowChannel", id, linkedid, more));
    }
    done(&mut fleet, request);
    script.settle(&mut fleet, NOON);
    let calls: Vec<_> = view(&fleet).calls().collect();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].id.as_str(), calls[0].legs_count), ("1765000000.1", 3));
    let changes = fleet.changes_since(before, usize::MAX).expect("no gap");
    let is_gone = |what: &What| matches!(what, What::CallGone(id) if id.as_str() == "1765000000.3");
    assert!(changes.iter().any(|change| is_gone(&change.what)), "{changes:#?}");
}

#[test]
fn who_enters_a_bridge_takes_along_who_is_listed_there_and_not_who_left_while_nobody_watched() {
    let script = Script::parse("@ CoreShowChannels");
    let mut fleet = watched(&script, Config::default());
    let bridge = "BridgeUniqueid: b1\nBridgeType: basic";
    for id in 1..=3 {
        tell(&mut fleet, NOON, &channel("Newchannel", id, id, ""));
    }
    tell(&mut fleet, NOON, &channel("BridgeEnter", 1, 1, bridge));
    fleet.disconnected(later(1), A);
    // 1 has left the bridge, and 3 has entered it.
    fleet.connected(later(2), A, b"11.0.0");
    let request = until_asked(&script, &mut fleet, "CoreShowChannels");
    tell(&mut fleet, NOON, &channel("BridgeEnter", 2, 2, bridge));
    item(&mut fleet, request, &channel("CoreShowChannel", 1, 1, "BridgeId: "));
    item(&mut fleet, request, &channel("CoreShowChannel", 2, 2, "BridgeId: b1"));
    // Printed before 2 came.
    item(&mut fleet, request, &channel("CoreShowChannel", 3, 3, "BridgeId: b1"));
    done(&mut fleet, request);
    let calls: Vec<_> =
        view(&fleet).calls().map(|call| (call.id.as_str(), call.legs_count)).collect();
    assert_eq!(calls, [("1765000000.1", 1), ("1765000000.2", 2)]);
}

#[test]
fn who_enters_a_bridge_takes_along_others_even_if_a_list_has_shown_that_it_hung_up() {
    let script = Script::parse("@ CoreShowChannels");
    let mut fleet = fleet_of(Config::default());
    fleet.connected(NOON, A, b"11.0.0");
    let request = until_asked(&script, &mut fleet, "CoreShowChannels");
    item(&mut fleet, request, &channel("CoreShowChannel", 2, 1, "BridgeId: b1"));
    done(&mut fleet, request);
    let bridge = "BridgeUniqueid: b1\nBridgeType: basic";
    // All of this was so before the list was asked for, and is told late.
    tell(&mut fleet, NOON, &channel("Newchannel", 2, 2, ""));
    tell(&mut fleet, NOON, &channel("BridgeEnter", 2, 2, bridge));
    tell(&mut fleet, NOON, &channel("BridgeEnter", 1, 1, bridge));
    tell(&mut fleet, NOON, &channel("Hangup", 1, 1, ""));
    let calls: Vec<_> = view(&fleet).calls().map(|call| call.id.as_str()).collect();
    assert_eq!(calls, ["1765000000.1"]);
}

#[test]
fn a_call_has_an_arrow_two_sides_and_a_state() {
    let (script, mut fleet) = office();
    let call = view(&fleet).call("office-1764999990.7").expect("a call");
    assert_eq!((call.direction, call.state), (Direction::Out, CallState::Up));
    assert_eq!(call.since_ms, Time { ms: NOON.ms - 10_000 });
    for event in &script.events {
        fleet.event(later(5), A, event.as_message());
    }
    let call = view(&fleet).call("office-1764999990.7").expect("a call");
    assert_eq!(call.state, CallState::OnHold);
    let call = view(&fleet).call("office-1765000001.9").expect("a call");
    assert_eq!((call.direction, call.state), (Direction::In, CallState::Ringing));
    assert_eq!(call.legs_count, 2, "a Local channel is no leg");
    assert_eq!(call.from.name.as_deref(), Some("Branch"));
    assert_eq!(call.to.peer.as_deref(), Some("IAX2/202"));
}

#[test]
fn what_events_did_not_tell_is_found_and_counted() {
    let (mut script, mut fleet) = office();
    script.set("CoreShowChannels").clear();
    script.set("PJSIPShowContacts").clear();
    script.set("PJSIPShowEndpoints").remove(1);
    fleet.handle_timeout(fleet.poll_timeout(A).expect("it is due some time"), A);
    script.settle(&mut fleet, later(300));
    assert_eq!(view(&fleet).info().drift, 3, "two channels and a peer");
    assert_eq!(view(&fleet).info().calls, 0);
    assert_eq!(view(&fleet).info().reconciled_ms, Some(later(300)));
}

#[test]
fn a_request_that_fails_leaves_what_is_known_and_is_tried_again_soon() {
    let (script, mut fleet) = office();
    fleet.handle_timeout(fleet.poll_timeout(A).expect("it is due some time"), A);
    let request = until_asked(&script, &mut fleet, "CoreShowChannels");
    fleet.answer(later(300), A, request, Answer::Failed(Failure::TimedOut, None));
    script.settle(&mut fleet, later(300));
    let info = view(&fleet).info();
    assert_eq!((info.calls, info.requests_failed), (1, 1));
    assert_eq!(info.reconciled_ms, Some(NOON), "not all was compared");
    assert_eq!(fleet.poll_timeout(A), Some(later(300 + RETRY_AFTER.as_secs())));
}

#[test]
fn chan_pjsip_says_that_an_empty_list_is_an_error() {
    let (script, mut fleet) = office();
    fleet.handle_timeout(fleet.poll_timeout(A).expect("it is due some time"), A);
    let request = until_asked(&script, &mut fleet, "PJSIPShowContacts");
    let said = message("Response: Error\nMessage: No Contacts found");
    let answer = Answer::Failed(Failure::Refused, Some(said.as_message()));
    fleet.answer(NOON, A, request, answer);
    script.settle(&mut fleet, NOON);
    assert_eq!(view(&fleet).info().requests_failed, 0);
    assert_eq!(view(&fleet).info().parts.contacts, Freshness::Live);
}

#[test]
fn endpoints_are_asked_about_even_if_the_round_ends_with_what_is_not_offered() {
    let mut script = Script::default();
    script.set("PJSIPShowEndpoints").push(message("Event: EndpointList\nObjectName: 200"));
    script.set("PJSIPShowEndpoint");
    let mut fleet = fleet_of(Config::default());
    fleet.connected(NOON, A, b"11.0.0");
    let asked = script.settle(&mut fleet, NOON);
    assert_eq!(asked, ["ListCommands", "PJSIPShowEndpoints", "PJSIPShowEndpoint"]);
}

#[test]
fn a_mailbox_that_only_an_endpoint_names_is_asked_for() {
    let mut script = Script::parse(OFFICE);
    let detail = "Event: EndpointDetail\nObjectName: 200\nMailboxes: 300@branch";
    *script.set("PJSIPShowEndpoint") = vec![message(detail)];
    let mut fleet = watched(&script, Config::default());
    fleet.handle_timeout(fleet.poll_timeout(A).expect("it is due some time"), A);
    let asked = script.settle(&mut fleet, NOON);
    assert!(asked.contains(&"MailboxCount"), "{asked:?}");
    let mailbox = view(&fleet).mailbox("300@branch").expect("it was asked for");
    assert_eq!((mailbox.new, mailbox.old), (3, 3), "an urgent message is a new one");
}

#[test]
fn an_old_server_has_peers_of_chan_sip() {
    let mut script = Script::parse(OFFICE);
    let peer = "Event: PeerEntry\nChanneltype: SIP\nObjectName: 400\nChanObjectType: peer\n\
                IPaddress: 10.0.0.40\nIPport: 5060\nDynamic: yes\nStatus: OK (20 ms)";
    script.set("SIPpeers").push(message(peer));
    let mut fleet = watched(&script, Config::default());
    assert_eq!(registration(&fleet, Driver::Sip, "400"), Some(Registration::Registered));
    tell(&mut fleet, NOON, "Event: PeerStatus\nPeer: SIP/400\nPeerStatus: Lagged\nTime: 2500");
    assert_eq!(registration(&fleet, Driver::Sip, "400"), Some(Registration::Lagged));
}

#[test]
fn a_phone_of_chan_sip_is_shown_at_the_port_that_it_registered_from() {
    let peer = |port| {
        format!(
            "Event: PeerEntry\nChanneltype: SIP\nObjectName: 203\nChanObjectType: peer\n\
             IPaddress: 127.1.0.34\nIPport: {port}\nDynamic: yes\nStatus: Unmonitored"
        )
    };
    let mut script = Script::default();
    script.set("SIPpeers").push(message(&peer(5060)));
    let mut fleet = watched(&script, Config::default());
    let is_at = |fleet: &Fleet, port| {
        let id = PeerId { driver: Driver::Sip, name: "203".into() };
        let address = view(fleet).peer(&id).expect("a peer").address.clone();
        assert_eq!(address.as_deref(), Some(&*format!("127.1.0.34:{port}")));
    };
    is_at(&fleet, 5060);
    fleet.handle_timeout(fleet.poll_timeout(A).expect("it is due some time"), A);
    let request = until_asked(&script, &mut fleet, "SIPpeers");
    tell(
        &mut fleet,
        NOON,
        "Event: PeerStatus\nPrivilege: system,all\nSystemName: A\nChannelType: SIP\nPeer: SIP/203\n\
         PeerStatus: Registered\nAddress: 127.1.0.34:5070",
    );
    is_at(&fleet, 5070);
    item(&mut fleet, request, &peer(5060));
    done(&mut fleet, request);
    is_at(&fleet, 5070);
}

#[test]
fn a_peer_that_no_list_had_is_shown_and_has_the_server_asked_again() {
    let (script, mut fleet) = office();
    tell(
        &mut fleet,
        NOON,
        "Event: PeerStatus\nPeer: IAX2/new\nPeerStatus: Registered\nAddress: 10.0.0.9",
    );
    assert_eq!(registration(&fleet, Driver::Iax2, "new"), Some(Registration::Registered));
    let soon = fleet.poll_timeout(A).expect("soon");
    assert!(soon < later(10), "{soon:?}");
    fleet.handle_timeout(soon, A);
    script.settle(&mut fleet, soon);
    assert_eq!(registration(&fleet, Driver::Iax2, "new"), None, "no list has it");
}

/// `chan_iax2` tells an event only if the answer says something new.
#[test]
fn a_registration_that_was_listed_without_its_answer_is_listed_again_until_it_has_one() {
    let entry = |state: &str| {
        message(&format!(
            "Event: RegistryEntry\nHost: 10.0.0.2:4569\nUsername: 208\nState: {state}",
        ))
    };
    let mut script = Script::default();
    script.set("IAXregistry").push(entry("Auth. Sent"));
    let mut fleet = watched(&script, Config::default());
    let id = OutboundId { driver: Driver::Iax2, user: "208".into(), at: "10.0.0.2:4569".into() };
    let is = |fleet: &Fleet| view(fleet).registration_outbound(&id).map(|it| it.state);
    let mut at = NOON;
    for state in ["Request Sent", "Registered"] {
        assert_eq!(is(&fleet), Some(OutboundState::Asked));
        at.ms += ANSWER_AFTER.as_millis() as u64;
        assert_eq!(fleet.poll_timeout(A), Some(at));
        script.set("IAXregistry")[0] = entry(state);
        fleet.handle_timeout(at, A);
        let request = fleet.poll_request(at, A).expect("a question");
        assert_eq!(request.action, "IAXregistry");
        script.answer(&mut fleet, at, &request);
        assert_eq!(fleet.poll_request(at, A), None, "of all others nothing is asked");
    }
    assert_eq!(is(&fleet), Some(OutboundState::Registered));
    assert_eq!(fleet.poll_timeout(A), Some(later(RECONCILE_EVERY.as_secs())));
}

#[test]
fn a_registration_at_another_server_is_listed_and_answered_and_some_day_gone() {
    let mut script = Script::default();
    script.set("IAXregistry").push(message(
        "Event: RegistryEntry\nHost: 10.0.0.2:4569\nDNSmanager: N\nUsername: 208\n\
         Perceived: 10.0.0.1:4569\nRefresh: 60\nState: Registered",
    ));
    let mut fleet = watched(&script, Config::default());
    let id = OutboundId { driver: Driver::Iax2, user: "208".into(), at: "10.0.0.2:4569".into() };
    let is = |fleet: &Fleet| {
        let outbound = view(fleet).registration_outbound(&id).expect("it was listed");
        (outbound.state, outbound.since_ms)
    };
    assert_eq!(is(&fleet), (OutboundState::Registered, None));
    let part = |fleet: &Fleet| view(fleet).info().parts.registrations_outbound;
    assert_eq!(part(&fleet), Freshness::AsOf(NOON), "that nobody answers is no event");
    tell(
        &mut fleet,
        later(5),
        "Event: Registry\nPrivilege: system,all\nSystemName: A\nChannelType: IAX2\nUsername: 208\n\
         Domain: 10.0.0.2:4569\nStatus: Rejected\nCause: Registration Refused",
    );
    assert_eq!(is(&fleet), (OutboundState::Rejected, Some(later(5))));

    let before = fleet.seq();
    script.set("IAXregistry").clear();
    fleet.handle_timeout(fleet.poll_timeout(A).expect("it is due some time"), A);
    script.settle(&mut fleet, later(300));
    let changes = fleet.changes_since(before, usize::MAX).expect("no gap");
    assert!(changes.iter().any(|change| change.what == What::OutboundGone(id.clone())));
    assert_eq!((view(&fleet).info().drift, part(&fleet)), (0, Freshness::AsOf(later(300))));

    fleet.connected(later(400), A, b"11.0.0");
    tell(&mut fleet, later(400), "Event: FullyBooted\nUptime: 9\nLastReload: 9");
    Script::default().settle(&mut fleet, later(400));
    assert_eq!(part(&fleet), Freshness::NotOffered, "its modules are not there any more");
}

#[test]
fn ten_thousand_peers_are_told_once_each_however_often_they_change() {
    const COUNT: usize = 10_000;
    let mut script = Script::default();
    for name in 0..COUNT {
        let entry = format!(
            "Event: PeerEntry\nChanneltype: IAX\nObjectName: {name}\nIPaddress: (null)\nPort: 0\n\
             Dynamic: yes\nStatus: UNKNOWN"
        );
        script.set("IAXpeerlist").push(message(&entry));
    }
    let mut fleet = watched(&script, Config::default());
    assert_eq!((view(&fleet).info().peers, view(&fleet).info().peers_registered), (COUNT, 0));
    let seq = fleet.seq();
    for round in 0..3 {
        for name in 0..COUNT {
            let status = format!(
                "Event: PeerStatus\nPeer: IAX2/{name}\nPeerStatus: Registered\nAddress: 10.0.0.{round}"
            );
            tell(&mut fleet, NOON, &status);
        }
    }
    assert_eq!(view(&fleet).info().peers_registered, COUNT);
    let changes = fleet.changes_since(seq, usize::MAX).expect("no gap");
    assert_eq!(changes.len(), COUNT + 1, "each peer, and the server's counts");
    assert!(changes.is_sorted_by(|one, next| one.seq < next.seq));
    let some = fleet.changes_since(seq, 10).expect("no gap");
    assert_eq!(some, changes[..10]);
}

#[test]
fn whoever_follows_resumes_or_is_told_of_a_gap() {
    let mut fleet = Fleet::new(1000);
    assert_eq!(fleet.changes_since(999, 1), Err(Gap), "of an earlier life");
    fleet.add(A, Config::default()).expect("there is none");
    fleet.add(A, Config::default()).expect_err("there is one");
    assert_eq!(fleet.changes_since(1000, 10).map(|changes| changes.len()), Ok(1));
    assert_eq!(fleet.changes_since(fleet.seq(), 10), Ok(vec![]));
    fleet.remove(A);
    assert_eq!(fleet.changes_since(1001, 10), Err(Gap), "with all that it had");
    assert_eq!(fleet.changes_since(fleet.seq(), 10), Ok(vec![]));
}

#[test]
fn hostile_values_are_kept_as_data_and_within_bounds() {
    let (_, mut fleet) = office();
    let long = "9".repeat(3 * TEXT_MAX_BYTES);
    let name = "<b>\u{202e}\u{7}\u{1f600}";
    let event = format!(
        "Event: Newchannel\nChannel: PJSIP/x-1\nCallerIDName: {name}\nCallerIDNum: {long}\n\
         ChannelState: 999999999999999999999\nUniqueid: 1.1\nLinkedid: 1.1"
    );
    tell(&mut fleet, NOON, &event);
    let call = view(&fleet).call("1.1").expect("a call");
    assert_eq!(call.from.name.as_deref(), Some(name));
    assert_eq!(call.from.number.as_ref().map(|number| number.len()), Some(TEXT_MAX_BYTES));
    assert_eq!(call.legs[0].state, 0);

    // Cut, two of these would be one.
    tell(&mut fleet, NOON, &format!("Event: PeerStatus\nPeer: IAX2/{long}\nPeerStatus: Lagged"));
    for port in 0..100 {
        let status = "ContactStatus: Reachable\nAOR: 200\nEndpointName: 200";
        tell(&mut fleet, NOON, &format!("Event: ContactStatus\nURI: sip:200@b:{port}\n{status}"));
    }
    let id = PeerId { driver: Driver::Pjsip, name: "200".into() };
    assert_eq!(view(&fleet).peer(&id).expect("an endpoint").contacts, CONTACTS_MAX);
    let info = view(&fleet).info();
    assert_eq!((info.peers, info.left_out), (5, 101 - CONTACTS_MAX as u64));
}

#[test]
fn a_peer_that_was_qualified_is_asked_about_in_a_moment_and_once() {
    let (script, mut fleet) = office();
    let id = PeerId { driver: Driver::Pjsip, name: "200".into() };
    assert!(view(&fleet).peer(&id).is_some());
    let before = fleet.poll_timeout(A).expect("a reconciliation");
    fleet.qualified(NOON, A, &id);
    fleet.qualified(NOON, A, &PeerId { driver: Driver::Pjsip, name: "nobody".into() });
    assert_eq!(fleet.poll_request(NOON, A), None, "not at once: it has not answered yet");
    let at = fleet.poll_timeout(A).expect("soon");
    assert!(at < before);
    fleet.handle_timeout(at, A);
    let request = fleet.poll_request(at, A).expect("a question");
    assert_eq!(
        (request.action, &*request.headers),
        ("PJSIPShowEndpoint", &[("Endpoint", "200".into())][..])
    );
    script.answer(&mut fleet, at, &request);
    assert_eq!(fleet.poll_request(at, A), None);
    assert_eq!(fleet.poll_timeout(A), Some(before));
}

#[test]
fn who_qualifies_again_and_again_does_not_put_the_answer_off() {
    let (script, mut fleet) = office();
    let id = PeerId { driver: Driver::Pjsip, name: "200".into() };
    let mut asked = Vec::new();
    for second in 0..8 {
        let now = later(second);
        if second < 5 {
            fleet.qualified(now, A, &id);
        }
        fleet.handle_timeout(now, A);
        if script.settle(&mut fleet, now) == ["PJSIPShowEndpoint"] {
            asked.push(second);
        }
    }
    assert_eq!(asked, [2, 4, 6], "in a moment, and when the last has answered");
}

#[test]
fn contacts_are_not_believed_without_the_endpoints_that_have_them() {
    let (script, mut fleet) = office();
    fleet.disconnected(later(10), A);
    fleet.connected(later(20), A, b"11.0.0");
    let round = |fleet: &mut Fleet, at: Time, endpoints: bool| {
        while let Some(request) = fleet.poll_request(at, A) {
            match request.action {
                "PJSIPShowEndpoints" if !endpoints => {
                    fleet.answer(at, A, request.id, Answer::Failed(Failure::TimedOut, None));
                }
                _ => script.answer(fleet, at, &request),
            }
        }
    };
    round(&mut fleet, later(20), false);
    let parts = view(&fleet).info().parts;
    assert_eq!([parts.pjsip, parts.contacts, parts.devices], [Freshness::AsOf(NOON); 3]);
    assert_eq!(parts.iax2, Freshness::Live);
    let again = later(20 + RETRY_AFTER.as_secs());
    fleet.handle_timeout(again, A);
    round(&mut fleet, again, true);
    let parts = view(&fleet).info().parts;
    assert_eq!([parts.pjsip, parts.contacts, parts.devices], [Freshness::Live; 3]);
}
