//! However a stream is cut, the same messages come out; what was made is read as it was; no bytes
//! whatever make the decoder panic.

use ami_proto::{Decoder, Frame, FrameError, OwnedMessage};
use proptest::prelude::*;

/// What a stream says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Said {
    greeting: Option<Vec<u8>>,
    messages: Vec<OwnedMessage>,
    error: Option<FrameError>,
}

fn decode<'a>(mut decoder: Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Said {
    let mut said = Said::default();
    for piece in pieces {
        if let Err(error) = drain(&mut decoder, piece, &mut said) {
            said.error = Some(error);
            assert_eq!(decoder.poll(), Err(error), "an error is final");
            assert_eq!(decoder.feed(b"Event: X\r\n\r\n"), Err(error), "an error is final");
            break;
        }
    }
    said
}

fn drain(decoder: &mut Decoder, piece: &[u8], said: &mut Said) -> Result<(), FrameError> {
    decoder.feed(piece)?;
    while let Some(frame) = decoder.poll()? {
        match frame {
            Frame::Greeting(version) => said.greeting = Some(version.to_vec()),
            Frame::Message(message) => said.messages.push(message.to_owned()),
        }
    }
    Ok(())
}

/// Cuts at the given places.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.sort_unstable();
    let (mut rest, mut at, mut pieces) = (bytes, 0, Vec::new());
    for place in places {
        let (piece, behind) = rest.split_at(place - at);
        pieces.push(piece);
        (rest, at) = (behind, place);
    }
    pieces.push(rest);
    pieces
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no line end", |byte| !b"\r\n\0".contains(byte));
    prop_oneof![
        Just(Vec::new()),
        "[ -~]{0,40}".prop_map(String::into_bytes),
        proptest::collection::vec(byte, 0..40),
    ]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    "[A-Za-z][A-Za-z0-9()/ -]{0,20}".prop_map(String::into_bytes)
}

fn message() -> impl Strategy<Value = OwnedMessage> {
    let first = prop_oneof![Just("Event"), Just("Response")];
    let kind = "[A-Z][a-z]{1,12}".prop_filter("it has an end of its own", |kind| kind != "Follows");
    let header = prop_oneof![
        6 => (name(), value()).prop_map(|(name, value)| (Some(name), value)),
        1 => "[a-z][a-z 0-9]{0,20}".prop_map(|text| (None, text.into_bytes())),
    ];
    (first, kind, proptest::collection::vec(header, 0..20)).prop_map(|(first, kind, headers)| {
        let mut message = OwnedMessage::default();
        message.push(first, kind).expect("a header");
        for (name, value) in headers {
            match name {
                Some(name) => message.push(name, value).expect("a header"),
                None => message.push_text(value).expect("a header"),
            }
        }
        message
    })
}

/// What Asterisk before 14 answers to `Command`.
fn follows() -> impl Strategy<Value = OwnedMessage> {
    proptest::collection::vec("([A-Z][a-z]{0,8}: )?[ -~]{0,30}", 0..12).prop_map(|lines| {
        let mut message = OwnedMessage::default();
        message.push("Response", "Follows").expect("a header");
        message.push("Privilege", "Command").expect("a header");
        message.push("ActionID", "t-1").expect("a header");
        // A line that ends like the mark would be one.
        for line in lines.iter().filter(|line| !line.ends_with("--END COMMAND--")) {
            message.push_text(line).expect("a header");
        }
        message
    })
}

/// Messages, and the stream that they make.
fn stream() -> impl Strategy<Value = (Vec<OwnedMessage>, Vec<u8>)> {
    let any = prop_oneof![4 => message(), 1 => follows()];
    proptest::collection::vec((any, 0..3_usize), 0..8).prop_map(|messages| {
        let mut bytes = b"Asterisk Call Manager/11.0.0\r\n".to_vec();
        for (message, blank_lines) in &messages {
            message.encode(&mut bytes);
            bytes.extend_from_slice(&b"\r\n\r\n"[..2 * blank_lines]);
        }
        (messages.into_iter().map(|(message, _)| message).collect(), bytes)
    })
}

proptest! {
    #[test]
    fn what_is_made_is_read_as_it_was((messages, bytes) in stream()) {
        let said = decode(Decoder::new(), [&bytes[..]]);
        prop_assert_eq!(said.greeting, Some(b"11.0.0".to_vec()));
        prop_assert_eq!((said.messages, said.error), (messages, None));
    }

    #[test]
    fn any_cut_of_the_bytes_gives_the_same_messages(
        (_, bytes) in stream(),
        places in proptest::collection::vec(any::<usize>(), 0..30),
    ) {
        let whole = decode(Decoder::new(), [&bytes[..]]);
        prop_assert_eq!(&decode(Decoder::new(), cut(&bytes, &places)), &whole);
        prop_assert_eq!(&decode(Decoder::new(), bytes.chunks(1)), &whole);
    }

    #[test]
    fn any_cut_of_garbage_gives_the_same_too(
        bytes in "(Asterisk Call Manager/1\r?\n)?((Response: Follows|[A-Z]:?|: |--END COMMAND--|[a-z\\x00]{0,4})\r?\n?){0,40}",
        places in proptest::collection::vec(any::<usize>(), 0..30),
    ) {
        for decoder in [Decoder::new(), Decoder::without_greeting()] {
            let whole = decode(decoder.clone(), [bytes.as_bytes()]);
            prop_assert_eq!(&decode(decoder.clone(), cut(bytes.as_bytes(), &places)), &whole);
            prop_assert_eq!(&decode(decoder, bytes.as_bytes().chunks(1)), &whole);
        }
    }

    #[test]
    fn any_bytes_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        decode(Decoder::new(), [&bytes[..]]);
        decode(Decoder::without_greeting(), bytes.chunks(7));
    }

    #[test]
    fn a_message_is_whole_with_its_last_byte_and_not_before(message in message()) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        for end in 0..bytes.len() {
            let said = decode(Decoder::without_greeting(), [&bytes[..end]]);
            prop_assert_eq!(said, Said::default(), "the first {} bytes", end);
        }
        bytes.extend_from_slice(b"Event: Ne");
        let said = decode(Decoder::without_greeting(), [&bytes[..]]);
        prop_assert_eq!(said.messages, [message]);
    }
}

#[test]
fn a_kept_message_is_written_as_it_came() {
    let bytes = b"Event: X\r\nVariable: A=1\r\nVariable: B= 2\r\nsome text\r\nEmpty: \r\n\r\n";
    let said = decode(Decoder::without_greeting(), [&bytes[..]]);
    let mut out = Vec::new();
    said.messages[0].encode(&mut out);
    assert_eq!(out.escape_ascii().to_string(), bytes.escape_ascii().to_string());
}
