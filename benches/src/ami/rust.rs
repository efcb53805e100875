//! Both Rust sides: ours, and asterisk-rs-ami, whose codec is public.

use std::hint::black_box;

use ami_proto::{Decoder, Frame};
use anyhow::{Context as _, Result, ensure};
use asterisk_rs_ami::{AmiCodec, RawAmiMessage};
use bytes::BytesMut;
use tokio_util::codec::Decoder as _;

/// Decodes all of it with ours. How many events there were.
///
/// # Errors
///
/// If it cannot be decoded.
pub(super) fn ours(stream: &[u8], piece_bytes: usize) -> Result<usize> {
    let (mut decoder, mut events) = (Decoder::new(), 0);
    for piece in stream.chunks(piece_bytes) {
        decoder.feed(piece)?;
        while let Some(frame) = decoder.poll()? {
            if let Frame::Message(message) = frame {
                events += usize::from(message.get("Event").is_some());
                black_box(message.get("Uniqueid"));
            }
        }
    }
    Ok(events)
}

/// The same with a copy of each message, as one has who keeps them: theirs gives nothing else.
///
/// # Errors
///
/// If it cannot be decoded.
pub(super) fn ours_kept(stream: &[u8], piece_bytes: usize) -> Result<usize> {
    let (mut decoder, mut events) = (Decoder::new(), 0);
    for piece in stream.chunks(piece_bytes) {
        decoder.feed(piece)?;
        while let Some(frame) = decoder.poll()? {
            if let Frame::Message(message) = frame {
                let message = black_box(message.to_owned());
                events += usize::from(message.get("Event").is_some());
                black_box(message.get("Uniqueid"));
            }
        }
    }
    Ok(events)
}

/// Decodes all of it with theirs, as `tokio_util`'s `Framed` would drive it.
///
/// # Errors
///
/// If it cannot be decoded.
pub(super) fn theirs(stream: &[u8], piece_bytes: usize) -> Result<usize> {
    let (mut codec, mut buf, mut events) = (AmiCodec::new(), BytesMut::new(), 0);
    for piece in stream.chunks(piece_bytes) {
        buf.extend_from_slice(piece);
        while let Some(message) = codec.decode(&mut buf)? {
            events += usize::from(message.get("Event").is_some());
            black_box(message.get("Uniqueid"));
        }
    }
    Ok(events)
}

/// Whether both read the same headers, and how many events there are.
///
/// # Errors
///
/// If not.
pub(super) fn compare(stream: &[u8], piece_bytes: usize) -> Result<usize> {
    let (mut decoder, mut codec, mut buf) = (Decoder::new(), AmiCodec::new(), BytesMut::new());
    let mut events = 0;
    for piece in stream.chunks(piece_bytes) {
        decoder.feed(piece)?;
        buf.extend_from_slice(piece);
        while let Some(frame) = decoder.poll()? {
            let Frame::Message(message) = frame else { continue };
            let theirs = codec.decode(&mut buf)?.context("they have a message less")?;
            ensure!(same(message, &theirs), "{message:?} is {theirs:?} to them");
            events += usize::from(message.event().is_some());
        }
        ensure!(codec.decode(&mut buf)?.is_none(), "they have a message more");
    }
    Ok(events)
}

/// They drop all blanks around a value.
fn same(ours: ami_proto::Message<'_>, theirs: &RawAmiMessage) -> bool {
    let ours = ours.headers().map(|header| (header.name, header.value.trim_ascii()));
    ours.eq(theirs.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ami::stream::stream;

    #[test]
    fn both_sides_read_the_same_and_count_alike() {
        let stream = stream(400_000);
        let events = compare(&stream, 1000).unwrap();
        assert!(events > 500, "{events}");
        assert_eq!(ours(&stream, 1000).unwrap(), events);
        assert_eq!(ours_kept(&stream, 1000).unwrap(), events);
        assert_eq!(theirs(&stream, 1000).unwrap(), events);
    }
}
