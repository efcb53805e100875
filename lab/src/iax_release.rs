//! Giving an IAX2 registration back: REGREL, as a phone sends it when it is switched off (RFC 5456, 6.1.4).
//!
//! Four frames: REGREL, the server's REGAUTH with a challenge, REGREL with the answer, REGACK. Nothing is sent
//! twice: this is loopback.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use md5::{Digest as _, Md5};

use crate::error::{At as _, LabError, Result};

/// How long the server may take for each frame.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Our number of the call.
const OUR_CALL: u16 = 1;
/// The frame type of control frames (RFC 5456, 8.2).
const TYPE_IAX: u8 = 6;
/// Set in the source call number of a full frame.
const FULL_FRAME: u16 = 0x8000;
const HEADER_BYTES: usize = 12;
const FRAME_MAX_BYTES: usize = 2048;

/// Control frames (RFC 5456, 8.4).
const ACK: u8 = 4;
const REGAUTH: u8 = 14;
const REGACK: u8 = 15;
const REGREJ: u8 = 16;
const REGREL: u8 = 17;

/// Information elements (RFC 5456, 8.6).
const USERNAME: u8 = 6;
const CHALLENGE: u8 = 15;
const MD5_RESULT: u8 = 16;

/// Takes back what `user` has registered at `server`, speaking from `ours`.
pub(crate) fn release(
    ours: SocketAddr,
    server: SocketAddr,
    user: &str,
    secret: &str,
    log: &Path,
) -> Result<()> {
    let name = server.to_string();
    let socket = UdpSocket::bind(ours).at("listen on", ours.to_string())?;
    socket.connect(server).at("connect to", &name)?;

    let first = frame(0, 0, 0, REGREL, &[(USERNAME, user.as_bytes())]);
    socket.send(&first).at("write to", &name)?;
    let asked = receive(&socket, &name, REGAUTH, log)?;

    let challenge = asked.element(CHALLENGE).unwrap_or_default();
    let answer = md5_hex(challenge, secret);
    let elements = [(USERNAME, user.as_bytes()), (MD5_RESULT, answer.as_bytes())];
    let second = frame(asked.source_call, 1, asked.next_in, REGREL, &elements);
    socket.send(&second).at("write to", &name)?;
    let done = receive(&socket, &name, REGACK, log)?;

    let last = frame(done.source_call, 2, done.next_in, ACK, &[]);
    socket.send(&last).at("write to", &name).map(drop)
}

struct Answer {
    source_call: u16,
    /// The number of the frame that we expect next: what an answer acknowledges.
    next_in: u8,
    subclass: u8,
    elements: Vec<u8>,
}

impl Answer {
    /// A full control frame; anything else is none.
    fn parse(frame: &[u8]) -> Option<Self> {
        let (header, elements) = frame.split_at_checked(HEADER_BYTES)?;
        let source_call = u16::from_be_bytes([header[0], header[1]]);
        (source_call & FULL_FRAME != 0 && header[10] == TYPE_IAX).then(|| Self {
            source_call: source_call & !FULL_FRAME,
            next_in: header[8].wrapping_add(1),
            subclass: header[11],
            elements: elements.to_vec(),
        })
    }

    fn element(&self, wanted: u8) -> Option<&[u8]> {
        let mut rest = self.elements.as_slice();
        while let [kind, len, body @ ..] = rest {
            let (value, after) = body.split_at_checked(usize::from(*len))?;
            if *kind == wanted {
                return Some(value);
            }
            rest = after;
        }
        None
    }
}

/// Waits for a frame of this subclass; others (ACK) are passed over.
fn receive(socket: &UdpSocket, server: &str, wanted: u8, log: &Path) -> Result<Answer> {
    let end = Instant::now() + ANSWER_WITHIN;
    let mut buffer = [0; FRAME_MAX_BYTES];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LabError::TimedOut {
                what: format!("{server} answers REGREL with frame {wanted}"),
                within: ANSWER_WITHIN,
                log: log.to_owned(),
            });
        }
        socket.set_read_timeout(Some(left)).at("set up", server)?;
        let Ok(len) = socket.recv(&mut buffer) else { continue };
        match Answer::parse(&buffer[..len]) {
            Some(answer) if answer.subclass == wanted => return Ok(answer),
            Some(answer) if answer.subclass == REGREJ => {
                return Err(LabError::Refused {
                    program: server.to_owned(),
                    request: "REGREL".to_owned(),
                    answer: "REGREJ".to_owned(),
                    log: log.to_owned(),
                });
            }
            _ => {}
        }
    }
}

fn frame(to_call: u16, out: u8, next_in: u8, subclass: u8, elements: &[(u8, &[u8])]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + 64);
    frame.extend((FULL_FRAME | OUR_CALL).to_be_bytes());
    frame.extend(to_call.to_be_bytes());
    // Milliseconds since the call began: only their order counts.
    frame.extend((u32::from(out) * 20 + 1).to_be_bytes());
    frame.extend([out, next_in, TYPE_IAX, subclass]);
    for (kind, value) in elements {
        frame.push(*kind);
        frame.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        frame.extend_from_slice(value);
    }
    frame
}

fn md5_hex(challenge: &[u8], secret: &str) -> String {
    let digest = Md5::new().chain_update(challenge).chain_update(secret).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_laid_out_as_the_rfc_says() {
        let bytes = frame(0x0102, 1, 2, REGREL, &[(USERNAME, b"201")]);
        assert_eq!(
            bytes,
            [0x80, 1, 1, 2, 0, 0, 0, 21, 1, 2, 6, 17, 6, 3, b'2', b'0', b'1'],
            "source, destination, time, out, in, type, subclass, element"
        );
        let parsed = Answer::parse(&bytes).unwrap();
        assert_eq!((parsed.source_call, parsed.next_in, parsed.subclass), (1, 2, REGREL));
        assert_eq!(parsed.element(USERNAME), Some(&b"201"[..]));
        assert_eq!(parsed.element(CHALLENGE), None);
    }

    #[test]
    fn a_short_frame_or_a_cut_element_is_nothing() {
        let bytes = frame(1, 0, 0, REGAUTH, &[(CHALLENGE, b"12345")]);
        assert!(Answer::parse(&bytes[..HEADER_BYTES - 1]).is_none());
        let cut = Answer::parse(&bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(cut.element(CHALLENGE), None);
    }

    #[test]
    fn the_answer_to_a_challenge_is_md5_of_both_in_hexadecimal() {
        // RFC 1321's test of "abc".
        assert_eq!(md5_hex(b"a", "bc"), "900150983cd24fb0d6963f7d28e17f72");
    }
}
