//! What Asterisk prints, byte by byte: written from `main/manager.c`, `main/manager_channels.c`,
//! `apps/app_queue.c` and their like of 16.28, 22.9 and (where it says so) 13.38.

use ami_proto::{Decoder, Frame, Header, Message};

/// Decodes a stream that begins with a greeting or not, and hands each message to `look`.
fn decode(mut decoder: Decoder, bytes: &[u8], mut look: impl FnMut(usize, Message<'_>)) -> usize {
    decoder.feed(bytes).expect("AMI");
    let mut count = 0;
    while let Some(frame) = decoder.poll().expect("AMI") {
        if let Frame::Message(message) = frame {
            look(count, message);
            count += 1;
        }
    }
    count
}

fn only(bytes: &[u8], look: impl Fn(Message<'_>)) {
    assert_eq!(decode(Decoder::without_greeting(), bytes, |_, message| look(message)), 1);
}

#[test]
fn the_greeting_has_no_blank_line_behind_it() {
    for (greeting, version) in [
        (&b"Asterisk Call Manager/5.0.4\r\n"[..], &b"5.0.4"[..]),
        (b"Asterisk Call Manager/11.0.0\r\n", b"11.0.0"),
        (b"Asterisk Call Manager Proxy/1.22\n", b"1.22"),
        (b"Asterisk Call Manager\r\n", b""),
    ] {
        let mut decoder = Decoder::new();
        decoder.feed(greeting).unwrap();
        decoder.feed(b"Response: Success\r\n\r\n").unwrap();
        assert_eq!(decoder.poll(), Ok(Some(Frame::Greeting(version))));
        assert!(matches!(decoder.poll(), Ok(Some(Frame::Message(_)))));
        assert_eq!(decoder.poll(), Ok(None));
    }
}

#[test]
fn an_event_with_channel_variables_keeps_them_all_in_order() {
    let bytes = b"Event: Newchannel\r\nPrivilege: call,all\r\nChannel: PJSIP/200-00000001\r\n\
        ChannelState: 4\r\nChannelStateDesc: Ring\r\nCallerIDNum: 200\r\nCallerIDName: <unknown>\r\n\
        ConnectedLineNum: <unknown>\r\nConnectedLineName: <unknown>\r\nLanguage: en\r\nAccountCode: \r\n\
        Context: phones\r\nExten: 201\r\nPriority: 1\r\nUniqueid: 1795394760.1\r\n\
        Linkedid: 1795394760.1\r\nChanVariable: SIPURI=sip:200@10.0.0.1:5060\r\n\
        ChanVariable: DEPT=\r\n\r\n";
    only(bytes, |message| {
        assert_eq!(message.event(), Some(&b"Newchannel"[..]));
        assert_eq!(message.response(), None);
        assert_eq!(message.len(), 18);
        assert_eq!(message.get("accountcode"), Some(&b""[..]), "an empty value is not none");
        assert_eq!(message.get("NoSuch"), None);
        let variables: Vec<_> = message.get_all("CHANVARIABLE").collect();
        assert_eq!(variables, [&b"SIPURI=sip:200@10.0.0.1:5060"[..], b"DEPT="]);
        let names: Vec<_> = message.headers().map(|header| header.name).take(3).collect();
        assert_eq!(names, [&b"Event"[..], b"Privilege", b"Channel"]);
    });
}

#[test]
fn an_older_events_variables_have_the_channel_in_their_name() {
    // append_channel_vars
    let bytes =
        b"Event: UserEvent\r\nPrivilege: user,all\r\nChanVariable(PJSIP/1-1): A=x:y\r\n\r\n";
    only(bytes, |message| {
        assert_eq!(message.get("ChanVariable(PJSIP/1-1)"), Some(&b"A=x:y"[..]));
    });
}

#[test]
fn a_command_is_answered_by_one_header_for_each_line() {
    let bytes = b"Response: Success\r\nActionID: t-3\r\nMessage: Command output follows\r\n\
        Output: Channel  (Context)\r\nOutput: \r\nOutput:   2 active: yes \r\nOutput: \r\n\r\n";
    only(bytes, |message| {
        let lines: Vec<_> = message.output().collect();
        assert_eq!(lines, [&b"Channel  (Context)"[..], b"", b"  2 active: yes ", b""]);
    });
}

#[test]
fn a_command_is_answered_by_raw_lines_before_asterisk_14() {
    // 13.38. The lines end with LF, may be blank, and may look like headers.
    let bytes =
        b"Response: Follows\r\nPrivilege: Command\r\nActionID: t-3\r\nSystem uptime: 2 days\n\
        \nEvent: none\n0 active channels\n--END COMMAND--\r\n\r\nEvent: Hangup\r\n\r\n";
    let count = decode(Decoder::without_greeting(), bytes, |at, message| match at {
        0 => {
            assert_eq!(message.get("ActionID"), Some(&b"t-3"[..]));
            assert_eq!(message.event(), None);
            assert_eq!(message.get("Event"), None, "the console's output has no headers");
            let lines: Vec<_> = message.output().collect();
            let expected =
                [&b"System uptime: 2 days"[..], b"", b"Event: none", b"0 active channels"];
            assert_eq!(lines, expected);
        }
        _ => assert_eq!(message.event(), Some(&b"Hangup"[..])),
    });
    assert_eq!(count, 2);
}

#[test]
fn the_end_mark_may_stand_on_the_last_line() {
    let bytes = b"Response: Follows\r\nPrivilege: Command\r\nno line end--END COMMAND--\r\n\r\n";
    only(bytes, |message| {
        assert_eq!(message.output().collect::<Vec<_>>(), [b"no line end"]);
    });
    let nothing = b"Response: Follows\r\nPrivilege: Command\r\n--END COMMAND--\r\n\r\n";
    only(nothing, |message| assert_eq!(message.output().count(), 0));
}

#[test]
fn values_keep_their_blanks_less_the_one_that_asterisk_adds() {
    let bytes = b"Event: X\r\nA:  two before\r\nB: behind \r\nC:none\r\nD:\r\nE: \r\nF:  \r\n\
        G: a\tb: c\r\nH: \xff\xfe\r\n\r\n";
    only(bytes, |message| {
        for (name, value) in [
            ("A", &b" two before"[..]),
            ("B", b"behind "),
            ("C", b"none"),
            ("D", b""),
            ("E", b""),
            ("F", b" "),
            ("G", b"a\tb: c"),
            ("H", b"\xff\xfe"),
        ] {
            assert_eq!(message.get(name), Some(value), "{name}");
        }
    });
}

#[test]
fn lines_may_end_with_a_line_feed_alone() {
    only(b"Event: X\nA: 1\n\n", |message| assert_eq!(message.get("a"), Some(&b"1"[..])));
}

#[test]
fn a_line_without_a_name_is_kept_as_it_is() {
    // GetConfig of a category that is not there.
    let bytes = b"Response: Success\r\nActionID: t-1\r\nNo categories found\r\n:x\r\n\r\n";
    only(bytes, |message| {
        let text: Vec<Header<'_>> = message.headers().skip(2).collect();
        let expected: [&[u8]; 2] = [b"No categories found", b":x"];
        assert_eq!(text, expected.map(|value| Header { name: b"", value }));
        assert_eq!(message.output().count(), 0);
    });
}

#[test]
fn blank_lines_between_messages_are_skipped() {
    // QueueRule ends with two; Queues of 16 begins without a Response.
    let bytes = b"Response: Success\r\nRuleList: r\r\n\r\n\r\n\r\n\nmain has 0 calls\r\n\r\nEvent: X\r\n\r\n";
    let count = decode(Decoder::without_greeting(), bytes, |at, message| match at {
        0 => assert_eq!(message.response(), Some(&b"Success"[..])),
        1 => assert_eq!((message.event(), message.response()), (None, None)),
        _ => assert_eq!(message.event(), Some(&b"X"[..])),
    });
    assert_eq!(count, 3);
}

#[test]
fn an_originate_response_is_an_event() {
    let bytes = b"Event: OriginateResponse\r\nPrivilege: call,all\r\nActionID: t-9\r\n\
        Response: Failure\r\nReason: 0\r\n\r\n";
    only(bytes, |message| {
        assert_eq!(message.event(), Some(&b"OriginateResponse"[..]));
        assert_eq!(message.response(), None);
        assert_eq!(message.get("Response"), Some(&b"Failure"[..]));
    });
}

#[test]
fn a_file_as_json_is_one_long_line() {
    let json = format!("{{\"general\":{{\"x\":\"{}\"}}}}", "y".repeat(500_000));
    let bytes = format!("Response: Success\r\nJSON: {json}\r\n\r\n");
    only(bytes.as_bytes(), |message| assert_eq!(message.get("JSON"), Some(json.as_bytes())));
}
