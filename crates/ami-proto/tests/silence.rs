//! Nothing waits for ever: not for an answer, the end of a list, a login, or a server that has
//! fallen silent. Time is an argument, so nothing sleeps.

mod peer;

use std::time::Duration;

use ami_proto::{
    ACTION_TIMEOUT, Failure, LIST_TIMEOUTS_MAX, LOGIN_TIMEOUT, Loss, PING_INTERVAL, PING_TIMEOUT,
};
use peer::{Peer, Told, action, config, event};

const PONG: &str =
    "Response: Success\r\nActionID: t-ping\r\nPing: Pong\r\nTimestamp: 1795394760.1\r\n\r\n";
const PING: &str = "Action: Ping\r\nActionID: t-ping\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_login_that_does_not_end_is_given_up() {
    for greeting in ["", "Asterisk Call Manager/11.0.0\r\n"] {
        let mut peer = Peer::new(config());
        peer.says(greeting);
        assert_eq!(peer.session.poll_timeout(), Some(peer.now + LOGIN_TIMEOUT));
        peer.after(LOGIN_TIMEOUT - SECOND);
        assert_eq!(peer.told(), []);
        peer.after(SECOND);
        assert_eq!(peer.told(), [Told::Lost(Loss::LoginTimedOut)]);
        assert_eq!(peer.session.poll_timeout(), None);
    }
}

#[test]
fn an_action_without_an_answer_times_out_and_its_answer_is_nobodys() {
    let mut peer = Peer::ready();
    let now = peer.now;
    let quick = peer.session.send_within(now, &action("CoreStatus"), SECOND).unwrap();
    peer.send("CoreSettings");
    assert_eq!(peer.session.poll_timeout(), Some(now + SECOND));
    peer.after(SECOND);
    assert_eq!(peer.told(), [Told::Failed(quick, Failure::TimedOut)]);
    peer.says("Response: Success\r\nActionID: t-1\r\n\r\n");
    assert_eq!(peer.told(), [Told::Stray]);
    assert_eq!(peer.session.actions_under_way(), 1);
}

#[test]
fn a_list_may_take_its_time_as_long_as_items_come_but_not_for_ever() {
    let mut peer = Peer::ready();
    let list = peer.send("CoreShowChannels");
    peer.says("Response: Success\r\nActionID: t-1\r\nEventList: start\r\n\r\n");
    assert_eq!(peer.told(), [Told::ListStart(list)]);
    let step = ACTION_TIMEOUT - SECOND;
    let mut items = 0;
    let end = loop {
        peer.after(step);
        peer.says("Event: CoreShowChannel\r\nActionID: t-1\r\n\r\n");
        match &peer.told()[..] {
            [Told::ListItem(_)] => items += 1,
            other => break other.to_vec(),
        }
    };
    assert!(items >= LIST_TIMEOUTS_MAX, "{items} items");
    let late = event("CoreShowChannel");
    assert_eq!(end, [Told::Failed(list, Failure::TimedOut), late]);
}

#[test]
fn one_silent_interval_is_not_a_loss() {
    let mut peer = Peer::ready();
    assert_eq!(peer.session.poll_timeout(), Some(peer.now + PING_INTERVAL));
    peer.after(PING_INTERVAL);
    assert_eq!(peer.sent(), PING);
    assert_eq!(peer.told(), []);
    peer.after(PING_TIMEOUT - SECOND);
    peer.says(PONG);
    assert_eq!(peer.told(), [], "a pong is no news");
    peer.after(PING_INTERVAL - SECOND);
    assert_eq!(peer.sent(), "");
    peer.after(SECOND);
    assert_eq!(peer.sent(), PING);
}

#[test]
fn an_unanswered_ping_loses_the_session() {
    let mut peer = Peer::ready();
    peer.after(PING_INTERVAL);
    assert_eq!(peer.session.poll_timeout(), Some(peer.now + PING_TIMEOUT));
    peer.after(PING_TIMEOUT);
    assert_eq!(peer.told(), [Told::Lost(Loss::Silent)]);
}

#[test]
fn a_server_that_is_busy_with_our_action_is_not_silent() {
    let mut peer = Peer::ready();
    let slow = peer.send("Originate");
    peer.sent();
    peer.after(PING_INTERVAL);
    assert_eq!(peer.sent(), PING);
    peer.after(PING_TIMEOUT);
    assert_eq!(peer.told(), [], "the ping's turn has not come");
    peer.says(&format!("Response: Success\r\nActionID: t-1\r\n\r\n{PONG}"));
    assert_eq!(peer.told(), [Told::Response(slow)]);

    // But it is if the action's time is over too.
    let slow = peer.send("Originate");
    peer.after(PING_INTERVAL);
    peer.after(ACTION_TIMEOUT - PING_INTERVAL);
    assert_eq!(peer.told(), [Told::Failed(slow, Failure::TimedOut)]);
    // Whatever else is sent meanwhile.
    let other = peer.send("Originate");
    peer.after(PING_TIMEOUT);
    assert_eq!(peer.told(), [Told::Failed(other, Failure::SessionLost), Told::Lost(Loss::Silent)]);
}

#[test]
fn bytes_that_never_make_a_message_are_no_sign_of_life() {
    let mut peer = Peer::ready();
    let told = std::iter::repeat_with(|| {
        peer.after(SECOND);
        peer.says("x");
        peer.told()
    });
    let waited = told.take_while(|told| told.is_empty()).count();
    assert_eq!(waited as u64, (PING_INTERVAL + PING_TIMEOUT).as_secs() - 1);
}
