//! What is not AMI ends in a typed error, and not in memory.

use ami_proto::{
    BUFFER_MAX_BYTES, Decoder, Frame, FrameError, GREETING_MAX_BYTES, HEADERS_MAX, LINE_MAX_BYTES,
    MESSAGE_MAX_BYTES,
};

/// As much as a read gives.
const PIECE_BYTES: usize = 64 * 1024;

/// Feeds `piece` again and again; after how many bytes which error came.
fn feed_for_ever(mut decoder: Decoder, piece: &[u8]) -> (usize, FrameError) {
    let mut fed = 0;
    loop {
        fed += piece.len();
        assert!(fed < 100_000_000, "a hundred megabytes were taken");
        decoder.feed(piece).expect("what is drained is not too much");
        loop {
            match decoder.poll() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return (fed, error),
            }
        }
    }
}

#[test]
fn another_service_is_told_by_its_first_bytes() {
    for first in
        [&b"SSH-2.0-OpenSSH_9.2p1\r\n"[..], b"HTTP/1.1 400 Bad Request\r\n", b"\x16\x03", b"\r\n"]
    {
        let mut decoder = Decoder::new();
        decoder.feed(first).unwrap();
        assert_eq!(decoder.poll(), Err(FrameError::NotAsterisk), "{}", first.escape_ascii());
    }
    let mut decoder = Decoder::new();
    decoder.feed(b"Asterisk Call\r\n").unwrap();
    assert_eq!(decoder.poll(), Err(FrameError::NotAsterisk));
}

#[test]
fn a_greeting_without_end_is_too_long() {
    let mut decoder = Decoder::new();
    let long = [&b"Asterisk Call Manager/"[..], &[b'1'; GREETING_MAX_BYTES]].concat();
    decoder.feed(&long[..GREETING_MAX_BYTES - 1]).unwrap();
    assert_eq!(decoder.poll(), Ok(None));
    decoder.feed(b"1").unwrap();
    assert_eq!(decoder.poll(), Err(FrameError::GreetingTooLong));
}

#[test]
fn a_line_without_end_is_too_long() {
    for byte in [b'x', b':', b'\r', 0] {
        let piece = vec![byte; PIECE_BYTES];
        let (fed, error) = feed_for_ever(Decoder::without_greeting(), &piece);
        assert_eq!(error, FrameError::LineTooLong { line: 1 });
        assert_eq!(fed, LINE_MAX_BYTES);
    }
}

#[test]
fn a_message_without_end_is_too_long() {
    let piece = [&b"Event: X"[..], &[b'y'; 1000], b"\r\n"].concat();
    let (fed, error) = feed_for_ever(Decoder::without_greeting(), &piece);
    assert_eq!(error, FrameError::MessageTooLong);
    assert!(fed < MESSAGE_MAX_BYTES + 2 * piece.len(), "{fed}");
    // The console's output of an old version likewise.
    let mut decoder = Decoder::without_greeting();
    decoder.feed(b"Response: Follows\r\n").unwrap();
    let (_, error) = feed_for_ever(decoder, b"a blank line follows, and ends nothing\n\n");
    assert_eq!(error, FrameError::TooManyHeaders);
}

#[test]
fn many_short_lines_are_too_many() {
    let piece = b"a\n".repeat(1000);
    let (fed, error) = feed_for_ever(Decoder::without_greeting(), &piece);
    assert_eq!(error, FrameError::TooManyHeaders);
    assert!(fed < 2 * HEADERS_MAX + 2 * piece.len(), "{fed}");
}

#[test]
fn blank_lines_are_skipped_for_ever_and_take_no_memory() {
    let mut decoder = Decoder::without_greeting();
    let piece = b"\r\n".repeat(PIECE_BYTES);
    for _ in 0..100 {
        decoder.feed(&piece).unwrap();
        assert_eq!(decoder.poll(), Ok(None));
    }
}

#[test]
fn the_longest_line_and_message_are_taken() {
    let line = [b"A: ", &vec![b'x'; LINE_MAX_BYTES - 5][..], b"\r\n"].concat();
    let message = [&line[..], &line, &line, &line[..line.len() - 5], b"xxx\r\n"].concat();
    assert_eq!(line.len(), LINE_MAX_BYTES);
    let message = [&message[..MESSAGE_MAX_BYTES - 4], b"\r\n\r\n"].concat();
    assert_eq!(message.len(), MESSAGE_MAX_BYTES);

    let mut decoder = Decoder::without_greeting();
    decoder.feed(&message).unwrap();
    let Ok(Some(Frame::Message(taken))) = decoder.poll() else { panic!("it is not too long") };
    assert_eq!(taken.len_bytes(), MESSAGE_MAX_BYTES);

    let mut decoder = Decoder::without_greeting();
    decoder.feed(&line[..3]).unwrap();
    decoder.feed(&line).unwrap();
    assert_eq!(decoder.poll(), Err(FrameError::LineTooLong { line: 1 }));
}

#[test]
fn what_is_fed_and_never_taken_is_refused() {
    let mut decoder = Decoder::without_greeting();
    let piece = b"Event: X\r\n\r\n".repeat(PIECE_BYTES);
    let error = (0..).find_map(|_| decoder.feed(&piece).err()).unwrap();
    assert_eq!(error, FrameError::Overfed);
    assert_eq!(Decoder::new().feed(&vec![0; BUFFER_MAX_BYTES + 1]), Err(FrameError::Overfed));
}

#[test]
fn a_message_in_single_bytes_takes_no_longer_than_its_length() {
    // A second look at each byte would make 10^12 of a megabyte: the test would not end.
    let message = [b"A: ", &vec![b':'; 1_000_000][..], b"\r\n\r\n"].concat();
    let mut decoder = Decoder::without_greeting();
    let mut found = 0;
    for byte in message.chunks(1) {
        decoder.feed(byte).unwrap();
        found += usize::from(decoder.poll().unwrap().is_some());
    }
    assert_eq!(found, 1);
}
