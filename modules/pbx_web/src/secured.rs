//! TLS for the server: Asterisk's, behind what `httpd` wants of a connection.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::{AsFd as _, BorrowedFd},
    sync::{Arc, Mutex, PoisonError},
};

use asterisk::tls::{Context, Stream, TlsError};
use httpd::{Stall, Transport, Wrap};

/// The certificate in force. A reload puts another in its place, which new connections get.
#[derive(Clone)]
pub(crate) struct Certificate(Arc<Mutex<Arc<Context>>>);

impl Certificate {
    pub(crate) fn new(context: Context) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(context))))
    }

    pub(crate) fn replace(&self, context: Context) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(context);
    }

    fn context(&self) -> Arc<Context> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Wrap for Certificate {
    fn is_secure(&self) -> bool {
        true
    }

    fn wrap(&self, stream: TcpStream) -> io::Result<Box<dyn Transport>> {
        let stream = self.context().accept(stream).map_err(io::Error::other)?;
        Ok(Box::new(Secured(stream)))
    }
}

struct Secured(Stream<TcpStream>);

impl Transport for Secured {
    fn socket(&self) -> BorrowedFd<'_> {
        self.0.socket().as_fd()
    }

    fn handshake(&mut self) -> Result<(), Stall> {
        self.0.handshake().map_err(stall)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Stall> {
        match self.0.read(buffer) {
            Err(TlsError::Closed) => Ok(0),
            other => other.map_err(stall),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Stall> {
        self.0.write(bytes).map_err(stall)
    }

    fn shutdown(&mut self) {
        // What cannot be said at once need not be.
        let _ = self.0.shutdown();
        let _ = self.0.socket().shutdown(Shutdown::Write);
    }
}

fn stall(error: TlsError) -> Stall {
    match error {
        TlsError::WantRead => Stall::WantRead,
        TlsError::WantWrite => Stall::WantWrite,
        TlsError::Io(error) => Stall::Failed(error),
        TlsError::Closed => Stall::Failed(io::ErrorKind::UnexpectedEof.into()),
        other => Stall::Failed(io::Error::new(io::ErrorKind::InvalidData, other)),
    }
}
