//! A session against what Asterisk says: login, answers, lists, and the ways in which it ends.
//! Time is an argument, so nothing sleeps.

mod peer;

use ami_proto::{
    ACTIONS_MAX, Config, Event, Failure, FrameError, LoginMethod, Loss, SendError, Session,
};
use peer::{Peer, Told, action, config, event};

#[test]
fn the_secret_is_proven_by_a_challenge() {
    let mut peer = Peer::new(config());
    peer.says("Asterisk Call Manager/11.0.0\r\n");
    assert_eq!(
        peer.sent(),
        "Action: Challenge\r\nActionID: t-challenge\r\nAuthType: MD5\r\nUsername: tandem\r\n\r\n"
    );
    peer.says("Response: Success\r\nActionID: t-challenge\r\nChallenge: 839201\r\n\r\n");
    // printf %s 839201s3cret | md5sum
    assert_eq!(
        peer.sent(),
        "Action: Login\r\nActionID: t-login\r\nUsername: tandem\r\nAuthType: MD5\r\n\
         Key: eac712e30d0be56f5fa2c20afeb5c402\r\n\r\n"
    );
    assert!(!peer.session.is_ready());
    peer.says("Response: Success\r\nActionID: t-login\r\nMessage: Authentication accepted\r\n\r\n");
    assert_eq!(peer.told(), [Told::LoggedIn]);
    assert!(peer.session.is_ready());
    assert_eq!(peer.session.version(), b"11.0.0");
}

#[test]
fn the_secret_is_sent_where_that_is_wanted() {
    let config = config().login_method(LoginMethod::Plain).events("system,call").unwrap();
    let mut peer = Peer::new(config);
    peer.says("Asterisk Call Manager/5.0.4\r\n");
    assert_eq!(
        peer.sent(),
        "Action: Login\r\nActionID: t-login\r\nUsername: tandem\r\nSecret: s3cret\r\n\
         Events: system,call\r\n\r\n"
    );
}

#[test]
fn each_refused_login_says_why() {
    for (message, loss) in [
        ("Authentication failed", Loss::WrongPassword),
        ("Login Already In Use", Loss::AlreadyLoggedIn),
        ("Asterisk is shutting down", Loss::ShuttingDown),
        ("Must specify AuthType", Loss::LoginRefused),
    ] {
        let refused = format!("Response: Error\r\nActionID: t-login\r\nMessage: {message}\r\n\r\n");
        let mut peer = Peer::new(config().login_method(LoginMethod::Plain));
        peer.says("Asterisk Call Manager/11.0.0\r\n");
        peer.says(&refused);
        assert_eq!(peer.told(), [Told::Lost(loss)], "{message}");
        assert_eq!(peer.session.poll_timeout(), None);
        // A challenge may be refused as well.
        let mut peer = Peer::new(config());
        peer.says("Asterisk Call Manager/11.0.0\r\n");
        peer.says(&refused.replace("t-login", "t-challenge"));
        assert_eq!(peer.told(), [Told::Lost(loss)], "{message}");
    }
}

#[test]
fn an_answer_finds_its_action_whatever_the_order() {
    let mut peer = Peer::ready();
    let (first, second) = (peer.send("CoreStatus"), peer.send("CoreSettings"));
    assert_eq!(
        peer.sent(),
        "Action: CoreStatus\r\nActionID: t-1\r\n\r\nAction: CoreSettings\r\nActionID: t-2\r\n\r\n"
    );
    peer.says("Response: Success\r\nActionID: t-2\r\nAMIversion: 11.0.0\r\n\r\n");
    peer.says("Event: Hangup\r\nCause: 16\r\n\r\nResponse: Success\r\nActionID: t-1\r\n\r\n");
    assert_eq!(
        peer.told(),
        [Told::Response(second), Told::Event("Hangup".into()), Told::Response(first)]
    );
    assert_eq!(peer.session.actions_under_way(), 0);
}

#[test]
fn a_list_belongs_to_its_action_and_events_between_its_items_do_not() {
    let mut peer = Peer::ready();
    let list = peer.send("PJSIPShowEndpoints");
    peer.says(
        "Response: Success\r\nActionID: t-1\r\nEventList: start\r\nMessage: A listing of Endpoints \
         follows, presented as EndpointList events\r\n\r\n\
         Event: EndpointList\r\nActionID: t-1\r\nObjectName: 200\r\n\r\n\
         Event: PeerStatus\r\nPeer: PJSIP/201\r\n\r\n\
         Event: EndpointList\r\nActionID: t-1\r\nObjectName: 201\r\n\r\n\
         Event: EndpointList\r\nActionID: u-1\r\nObjectName: another session's\r\n\r\n\
         Event: EndpointListComplete\r\nActionID: t-1\r\nEventList: Complete\r\nListItems: 2\r\n\r\n",
    );
    assert_eq!(
        peer.told(),
        [
            Told::ListStart(list),
            Told::ListItem(list),
            Told::Event("PeerStatus".into()),
            Told::ListItem(list),
            Told::Event("EndpointList".into()),
            Told::ListEnd(list, 2),
        ]
    );
    assert_eq!(peer.session.actions_under_way(), 0);
}

#[test]
fn a_list_may_fail_after_it_has_begun() {
    let mut peer = Peer::ready();
    let (refused, cancelled) = (peer.send("FAXSessions"), peer.send("FAXSessions"));
    // res_fax writes it with a capital letter.
    for id in 1..=2 {
        peer.says(&format!("Response: Success\r\nActionID: t-{id}\r\nEventList: Start\r\n\r\n"));
    }
    peer.says("Response: Error\r\nActionID: t-1\r\nMessage: no memory\r\n\r\n");
    peer.says("Event: FAXSessionsComplete\r\nActionID: t-2\r\nEventList: cancelled\r\n\r\n");
    assert_eq!(
        peer.told(),
        [
            Told::ListStart(refused),
            Told::ListStart(cancelled),
            Told::Failed(refused, Failure::Refused),
            Told::Failed(cancelled, Failure::ListCancelled),
        ]
    );
}

#[test]
fn a_list_is_bounded_in_items_and_in_bytes() {
    for (value_bytes, failure) in [(1, Failure::ListTooLong), (900_000, Failure::ListTooLong)] {
        let mut peer = Peer::ready();
        let list = peer.send("CoreShowChannels");
        peer.says("Response: Success\r\nActionID: t-1\r\nEventList: start\r\n\r\n");
        assert_eq!(peer.told(), [Told::ListStart(list)]);
        let value = "x".repeat(value_bytes);
        let item = format!("Event: CoreShowChannel\r\nActionID: t-1\r\nA: {value}\r\n\r\n");
        let piece = item.repeat((500_000 / item.len()).max(1));
        let end = std::iter::repeat_with(|| {
            peer.says(&piece);
            peer.told().into_iter().find(|told| *told != Told::ListItem(list))
        });
        assert_eq!(end.flatten().next(), Some(Told::Failed(list, failure)));
        // The rest is nobody's.
        peer.says(&item);
        assert_eq!(peer.told().last(), Some(&Told::Event("CoreShowChannel".into())));
    }
}

#[test]
fn each_refused_action_says_why() {
    let mut peer = Peer::ready();
    for (message, failure) in [
        ("Permission denied", Failure::NotPermitted),
        (
            "Invalid/unknown command: SIPpeers. Use Action: ListCommands to show available commands.",
            Failure::UnknownAction,
        ),
        ("Asterisk is shutting down", Failure::ShuttingDown),
        ("No such channel", Failure::Refused),
    ] {
        let id = peer.send("Anything");
        let number = peer.sent().split("t-").nth(1).unwrap().trim_end().to_owned();
        peer.says(&format!(
            "Response: Error\r\nActionID: t-{number}\r\nMessage: {message}\r\n\r\n"
        ));
        let text = peer.session.poll_event().and_then(|event| match event {
            Event::Failed { action, failure, message } => {
                Some((action, failure, message?.get("Message")?.to_vec()))
            }
            _ => None,
        });
        assert_eq!(text, Some((id, failure, message.into())), "Asterisk's words are told too");
    }
    // And the close that follows has a reason.
    peer.closes();
    assert_eq!(peer.told(), [Told::Lost(Loss::ShuttingDown)]);
}

#[test]
fn an_answer_to_nothing_is_never_guessed_to_be_somebodys() {
    let mut peer = Peer::ready();
    let id = peer.send("QueueStatus");
    peer.says("Response: Success\r\nMessage: no id\r\n\r\n");
    peer.says("Response: Success\r\nActionID: t-7\r\n\r\n");
    peer.says("Response: Success\r\nActionID: u-1\r\n\r\n");
    peer.says("main has 0 calls\r\n\r\n");
    peer.says("Response: Success\r\nActionID: t-login\r\n\r\n");
    assert_eq!(peer.told(), [Told::Stray, Told::Stray, Told::Stray, Told::Stray, Told::Stray]);
    assert_eq!(peer.session.actions_under_way(), 1);
    peer.says("Response: Success\r\nActionID: t-1\r\n\r\n");
    assert_eq!(peer.told(), [Told::Response(id)]);
}

#[test]
fn a_late_event_names_the_action_that_it_is_about() {
    let mut peer = Peer::ready();
    let id = peer.send("Originate");
    peer.says(
        "Response: Success\r\nActionID: t-1\r\nMessage: Originate successfully queued\r\n\r\n",
    );
    assert_eq!(peer.told(), [Told::Response(id)]);
    peer.says("Event: OriginateResponse\r\nActionID: t-1\r\nResponse: Failure\r\n\r\n");
    let Some(Event::Event(message)) = peer.session.poll_event() else { panic!("an event") };
    let message = message.to_owned();
    assert_eq!(peer.session.action_of(message.as_message()), Some(id));
    peer.says("Event: OriginateResponse\r\nActionID: other-1\r\nResponse: Failure\r\n\r\n");
    let Some(Event::Event(message)) = peer.session.poll_event() else { panic!("an event") };
    let message = message.to_owned();
    assert_eq!(peer.session.action_of(message.as_message()), None);
}

#[test]
fn fully_booted_is_told_as_what_it_is() {
    let mut peer = Peer::ready();
    peer.says(
        "Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\nUptime: 3\r\n\r\n",
    );
    let Some(Event::FullyBooted(message)) = peer.session.poll_event() else { panic!("booted") };
    assert_eq!(message.get("Uptime"), Some(&b"3"[..]));
}

#[test]
fn no_more_actions_than_the_bound_are_under_way() {
    let mut peer = Peer::new(config());
    assert_eq!(peer.session.send(peer.now, &action("Ping")), Err(SendError::NotLoggedIn));
    let mut peer = Peer::ready();
    for _ in 0..ACTIONS_MAX {
        peer.send("CoreStatus");
    }
    assert_eq!(peer.session.send(peer.now, &action("CoreStatus")), Err(SendError::TooMany));
    peer.says("Response: Success\r\nActionID: t-1\r\n\r\n");
    assert_eq!(peer.told().len(), 1);
    peer.send("CoreStatus");
    peer.closes();
    assert_eq!(peer.told().len(), ACTIONS_MAX + 1);
    assert_eq!(peer.session.send(peer.now, &action("CoreStatus")), Err(SendError::Over));
}

#[test]
fn a_close_ends_all_that_is_under_way_and_says_why() {
    let mut peer = Peer::new(config());
    peer.closes();
    assert_eq!(peer.told(), [Told::Lost(Loss::NotServed)]);

    let mut peer = Peer::ready();
    let id = peer.send("CoreStatus");
    peer.says("Event: Hangup\r\n\r\nEvent: Half");
    peer.closes();
    assert_eq!(
        peer.told(),
        [event("Hangup"), Told::Failed(id, Failure::SessionLost), Told::Lost(Loss::Closed)],
        "what had arrived is told first"
    );
    peer.says("Event: Hangup\r\n\r\n");
    assert_eq!(peer.told(), []);

    let mut peer = Peer::ready();
    peer.says("Event: Shutdown\r\nShutdown: Cleanly\r\nRestart: True\r\n\r\n");
    peer.closes();
    assert_eq!(peer.told(), [event("Shutdown"), Told::Lost(Loss::ShuttingDown)]);

    let mut peer = Peer::ready();
    peer.session.log_off();
    assert_eq!(peer.sent(), "Action: Logoff\r\nActionID: t-logoff\r\n\r\n");
    peer.says(
        "Response: Goodbye\r\nActionID: t-logoff\r\nMessage: Thanks for all the fish.\r\n\r\n",
    );
    peer.closes();
    assert_eq!(peer.told(), [Told::Lost(Loss::LoggedOff)]);
}

#[test]
fn garbage_ends_the_session() {
    let mut peer = Peer::new(config());
    peer.says("SSH-2.0-OpenSSH_9.2p1\r\n");
    assert_eq!(peer.told(), [Told::Lost(Loss::Garbage(FrameError::NotAsterisk))]);
    assert_eq!(peer.sent(), "", "it is not told who we are");

    let mut peer = Peer::ready();
    let id = peer.send("CoreStatus");
    let piece = "x".repeat(65_536);
    let told = std::iter::repeat_with(|| {
        peer.says(&piece);
        peer.told()
    });
    assert_eq!(
        told.take(100).flatten().collect::<Vec<_>>(),
        [
            Told::Failed(id, Failure::SessionLost),
            Told::Lost(Loss::Garbage(FrameError::LineTooLong { line: 1 })),
        ]
    );
}

#[test]
fn a_prefix_that_could_end_an_id_is_refused() {
    for prefix in ["", "a b", "a\r\nb", "\u{e4}", &"x".repeat(65)] {
        assert!(Config::new("tandem", "s3cret", prefix).is_err(), "{prefix:?}");
    }
    assert!(Config::new("tandem", "s3\r\ncret", "t").is_err());
}

#[test]
fn any_cut_of_the_bytes_tells_the_same() {
    let said = "Response: Success\r\nActionID: t-1\r\nEventList: start\r\n\r\nEvent: A\r\n\r\n\
        Event: B\r\nActionID: t-1\r\n\r\n\r\n\r\nEvent: C\r\nActionID: t-1\r\nEventList: Complete\r\n\r\n\
        Response: Error\r\nActionID: t-2\r\nMessage: Permission denied\r\n\r\n";
    let run = |piece: usize| {
        let mut peer = Peer::ready();
        peer.send("CoreShowChannels");
        peer.send("Reload");
        let pieces = said.as_bytes().chunks(piece).map(|piece| str::from_utf8(piece).unwrap());
        let told: Vec<_> = pieces
            .flat_map(|piece| {
                peer.says(piece);
                peer.told()
            })
            .collect();
        told
    };
    let whole = run(said.len());
    assert_eq!(whole.len(), 5);
    assert!((1..said.len()).all(|piece| run(piece) == whole));
}

#[test]
fn a_session_shows_no_secret() {
    let session = Session::new(config(), Peer::ready().now);
    assert!(!format!("{session:?}").contains("s3cret"));
}
