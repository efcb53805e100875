//! A transport that is as awkward as TLS can be: a handshake first, bytes held back inside, reads
//! and writes in small pieces, stalls of both kinds.

use std::io;
use std::net::TcpStream;
use std::os::fd::BorrowedFd;

use httpd::{PlainWrap, Stall, Transport, Wrap};

/// What a client says first.
pub(crate) const HELLO: &[u8] = b"hello";
/// What is read and written at once.
const PIECE: usize = 7;

/// Makes them.
pub(crate) struct ShyWrap;

struct Shy {
    inner: Box<dyn Transport>,
    greeted: usize,
    held: Vec<u8>,
    turns: u32,
}

impl Wrap for ShyWrap {
    fn is_secure(&self) -> bool {
        true
    }

    fn wrap(&self, stream: TcpStream) -> io::Result<Box<dyn Transport>> {
        let inner = PlainWrap.wrap(stream)?;
        Ok(Box::new(Shy { inner, greeted: 0, held: Vec::new(), turns: 0 }))
    }
}

impl Shy {
    /// Reads all that there is, and holds it.
    fn fill(&mut self) -> Result<(), Stall> {
        let mut buffer = [0; 65_536];
        let read = self.inner.read(&mut buffer)?;
        self.held.extend_from_slice(&buffer[..read]);
        Ok(())
    }
}

impl Transport for Shy {
    fn socket(&self) -> BorrowedFd<'_> {
        self.inner.socket()
    }

    fn handshake(&mut self) -> Result<(), Stall> {
        while self.greeted < HELLO.len() {
            let mut byte = [0];
            if self.inner.read(&mut byte)? == 0 || byte[0] != HELLO[self.greeted] {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
            self.greeted += 1;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Stall> {
        self.turns += 1;
        // As TLS does when it wants to send something of its own first.
        if self.turns.is_multiple_of(23) {
            return Err(Stall::WantWrite);
        }
        if self.held.is_empty() {
            self.fill()?;
        }
        let length = PIECE.min(self.held.len()).min(buffer.len());
        buffer[..length].copy_from_slice(&self.held[..length]);
        self.held.drain(..length);
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Stall> {
        self.inner.write(&bytes[..bytes.len().min(PIECE)])
    }

    fn shutdown(&mut self) {
        self.inner.shutdown();
    }
}
