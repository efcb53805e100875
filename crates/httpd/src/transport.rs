//! How bytes travel: plain, or wrapped by the caller (TLS).

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

/// Why nothing was read or written.
#[derive(Debug, thiserror::Error)]
pub enum Stall {
    /// Try again when the socket can be read.
    #[error("the socket has nothing to read")]
    WantRead,
    /// Try again when it can be written.
    #[error("the socket takes nothing")]
    WantWrite,
    /// It is over.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

/// A connection's bytes. Nothing here waits; all is called on the I/O thread.
pub trait Transport: Send {
    /// The socket to watch. Dropping the transport closes it.
    fn socket(&self) -> BorrowedFd<'_>;

    /// Goes on with the handshake; called until it is `Ok`.
    ///
    /// # Errors
    ///
    /// [`Stall`].
    fn handshake(&mut self) -> Result<(), Stall>;

    /// Reads; 0 is the end.
    ///
    /// # Errors
    ///
    /// [`Stall`].
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Stall>;

    /// Writes some of `bytes`, which are not empty. After [`Stall`] it is called with the same
    /// bytes again, perhaps with more behind them.
    ///
    /// # Errors
    ///
    /// [`Stall`].
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Stall>;

    /// Whether a read that did not fill its buffer may have left something that the poller does
    /// not know of.
    fn may_hold_back(&self) -> bool {
        true
    }

    /// Says that nothing more will be written (`close_notify`, FIN). What cannot be said at once
    /// need not be.
    fn shutdown(&mut self);
}

/// Makes transports of sockets.
pub trait Wrap: Send {
    /// Whether what is made cannot be overheard.
    fn is_secure(&self) -> bool;

    /// A transport for a socket, which does not block.
    ///
    /// # Errors
    ///
    /// Why there is none; the socket is closed.
    fn wrap(&self, stream: TcpStream) -> io::Result<Box<dyn Transport>>;
}

/// Bytes as they are.
#[derive(Debug)]
pub struct Plain(TcpStream);

/// Makes [`Plain`] ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainWrap;

impl Wrap for PlainWrap {
    fn is_secure(&self) -> bool {
        false
    }

    fn wrap(&self, stream: TcpStream) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(Plain(stream)))
    }
}

impl Transport for Plain {
    fn socket(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn handshake(&mut self) -> Result<(), Stall> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Stall> {
        retried(|| self.0.read(buffer), Stall::WantRead)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Stall> {
        retried(|| self.0.write(bytes), Stall::WantWrite)
    }

    fn may_hold_back(&self) -> bool {
        false
    }

    fn shutdown(&mut self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

fn retried(mut call: impl FnMut() -> io::Result<usize>, stall: Stall) -> Result<usize, Stall> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(stall),
            result => return Ok(result?),
        }
    }
}
