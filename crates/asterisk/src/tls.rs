//! TLS, for servers: Asterisk's own set-up, and a connection that never blocks.
//!
//! The context (certificate, key, versions, ciphers) is made by Asterisk (`ast_ssl_setup`), so what
//! holds for its HTTPS and AMI holds here. Asterisk's own streams do a handshake that blocks
//! (iostream.c, `ast_iostream_start_tls`), which a thread that serves many cannot afford: so a
//! [`Stream`] calls the same OpenSSL directly, and says when it would have to wait, and for what.

use std::ffi::{CStr, c_int};
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

use asterisk_sys as sys;

use crate::openssl::{self, Missing, OpenSsl};

/// What a server shows.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// A PEM file with the certificate, and those that it is signed with.
    pub certificate: &'a CStr,
    /// A PEM file with the private key; `None` if it is in the first file too. It must not need a
    /// pass phrase: OpenSSL would ask for it on the terminal, and wait.
    pub private_key: Option<&'a CStr>,
    /// Which ciphers for TLS 1.2, as `openssl ciphers` takes them; `None` is OpenSSL's choice.
    pub ciphers: Option<&'a CStr>,
}

/// Why there is no TLS. Whoever configured it erred.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Asterisk cannot.
    #[error("this Asterisk has no TLS: it was built without OpenSSL (there is no {0})")]
    NoOpenSsl(String),
    /// Asterisk did not take the files or the ciphers.
    #[error("Asterisk does not take the certificate, the key or the ciphers; its log says why")]
    Refused,
}

/// Why a connection does not go on, now or for good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Call again when the socket can be read.
    #[error("the other side has not sent it yet")]
    WantRead,
    /// Call again when the socket can be written to.
    #[error("the other side has not taken it yet")]
    WantWrite,
    /// The other side has ended.
    #[error("the connection was closed")]
    Closed,
    /// The network failed.
    #[error(transparent)]
    Io(io::Error),
    /// The other side does not keep to TLS, or has nothing in common with us: in OpenSSL's words.
    #[error("{0}")]
    Protocol(String),
}

/// Makes connections. Any thread may use it; a connection may outlive it.
pub struct Context {
    openssl: OpenSsl,
    config: sys::ast_tls_config,
}

// SAFETY: the configuration is only read after `server`; making connections of one context is
// safe on several threads at once (SSL_CTX has locks of its own for what they share).
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// Reads the files: TLS 1.2 and newer, no certificates of clients. Any thread but a channel's.
    ///
    /// # Errors
    ///
    /// [`SetupError`].
    pub fn server(settings: &Settings<'_>) -> Result<Self, SetupError> {
        let openssl = OpenSsl::find()
            .map_err(|Missing(name)| SetupError::NoOpenSsl(name.to_string_lossy().into_owned()))?;
        // SAFETY: zero is a valid value of every field: numbers, pointers.
        let mut config: sys::ast_tls_config = unsafe { mem::zeroed() };
        let text = |text: Option<&CStr>| text.map_or(ptr::null_mut(), |t| t.as_ptr().cast_mut());
        config.enabled = 1;
        config.certfile = text(Some(settings.certificate));
        config.pvtfile = text(settings.private_key);
        config.cipher = text(settings.ciphers);
        config.flags.flags = sys::AST_SSL_SERVER_CIPHER_ORDER
            | sys::AST_SSL_DISABLE_TLSV1
            | sys::AST_SSL_DISABLE_TLSV11;
        // SAFETY: a whole configuration whose strings are null, or NUL-terminated and outlive the
        // call, which only reads them. It logs what is wrong.
        let made = unsafe { sys::ast_ssl_setup(&raw mut config) };
        (config.certfile, config.pvtfile, config.cipher) = Default::default();
        if made == 0 || config.ssl_ctx.is_null() {
            return Err(SetupError::Refused);
        }
        let context = Self { openssl, config };
        context.adjust();
        Ok(context)
    }

    fn adjust(&self) {
        let (ctl, raw) = (self.openssl.SSL_CTX_ctrl, self.config.ssl_ctx);
        let nothing = openssl::NOTHING;
        // SAFETY: a live context that no connection uses yet, and a command with a number.
        unsafe { ctl(raw, openssl::SSL_CTRL_MODE, openssl::SSL_MODES, nothing) };
        let (cache, off) = (openssl::SSL_CTRL_SET_SESS_CACHE_MODE, openssl::SSL_SESS_CACHE_OFF);
        // SAFETY: as above.
        unsafe { ctl(raw, cache, off, nothing) };
        // Of 32 bits in OpenSSL 1.1 where a pointer has 32.
        if cfg!(target_pointer_width = "64") {
            let options = openssl::SSL_OP_NO_RENEGOTIATION | openssl::SSL_OP_IGNORE_UNEXPECTED_EOF;
            // SAFETY: as above.
            unsafe { (self.openssl.SSL_CTX_set_options)(raw, options) };
        }
    }

    /// A connection on a socket that does not block, before its handshake.
    ///
    /// # Errors
    ///
    /// [`TlsError::Protocol`], mostly for want of memory.
    pub fn accept<S: AsRawFd>(&self, socket: S) -> Result<Stream<S>, TlsError> {
        let openssl = self.openssl;
        // SAFETY: always may.
        unsafe { (openssl.ERR_clear_error)() };
        // SAFETY: a live context, of which the connection holds a reference of its own.
        let ssl = unsafe { (openssl.SSL_new)(self.config.ssl_ctx) };
        let Some(ssl) = NonNull::new(ssl) else {
            return Err(TlsError::Protocol(openssl.words()));
        };
        let stream = Stream { openssl, ssl, life: Life::Handshake, socket };
        // SAFETY: a new connection; the descriptor is open for as long as it, and OpenSSL does
        // not close it (SSL_set_fd(3): BIO_NOCLOSE).
        if unsafe { (openssl.SSL_set_fd)(ssl.as_ptr(), stream.socket.as_raw_fd()) } != 1 {
            return Err(TlsError::Protocol(openssl.words()));
        }
        // SAFETY: a new connection.
        unsafe { (openssl.SSL_set_accept_state)(ssl.as_ptr()) };
        Ok(stream)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: what `ast_ssl_setup` made, given back once; connections have references.
        unsafe { sys::ast_ssl_teardown(&raw mut self.config) };
    }
}

/// One connection. Nothing here blocks if its socket does not.
///
/// [`TlsError::WantRead`] and [`TlsError::WantWrite`] may come from any call, a read may want to
/// write: wait for what is wanted, and make the same call again. OpenSSL may hold more than was
/// read of it while the socket has nothing: read until `WantRead` before you wait.
///
/// Asterisk ignores SIGPIPE (asterisk.c), so writing to whoever is gone is an error and no more.
pub struct Stream<S> {
    openssl: OpenSsl,
    ssl: NonNull<sys::SSL>,
    life: Life,
    /// Dropped after the connection, which uses its descriptor.
    socket: S,
}

// SAFETY: a connection may be used on any thread, by one at a time.
unsafe impl<S: Send> Send for Stream<S> {}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    Handshake,
    Open,
    /// Failed, or said farewell: OpenSSL must not be asked again (SSL_get_error(3)).
    Over,
}

impl<S> Stream<S> {
    /// Goes on with the handshake until it is done.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn handshake(&mut self) -> Result<(), TlsError> {
        let shake = self.openssl.SSL_do_handshake;
        // SAFETY: a live connection, see `call`.
        self.call(1, |ssl| unsafe { shake(ssl) })?;
        self.life = Life::Open;
        Ok(())
    }

    /// Reads at least a byte, and says how many; none only into an empty buffer.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TlsError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let (read, length) = (self.openssl.SSL_read, short(buffer.len()));
        // SAFETY: a live connection, see `call`, and a buffer that is as long as we say.
        self.call(1, |ssl| unsafe { read(ssl, buffer.as_mut_ptr().cast(), length) })
    }

    /// Writes a part of `bytes`, and says how much. After [`TlsError::WantRead`] or
    /// [`TlsError::WantWrite`] the next write must begin with the same bytes (SSL_write(3)).
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let (write, length) = (self.openssl.SSL_write, short(bytes.len()));
        // SAFETY: a live connection, see `call`, and as many bytes as we say, which are only read.
        self.call(1, |ssl| unsafe { write(ssl, bytes.as_ptr().cast(), length) })
    }

    /// Says farewell, so that the other side knows that nothing was cut off, and does not wait for
    /// theirs. Does nothing if the connection is over, or was never there.
    ///
    /// # Errors
    ///
    /// [`TlsError::WantWrite`] until it is sent.
    pub fn shutdown(&mut self) -> Result<(), TlsError> {
        if self.life != Life::Open {
            return Ok(());
        }
        let shutdown = self.openssl.SSL_shutdown;
        // 0 says that theirs is still to come (SSL_shutdown(3)).
        // SAFETY: a live connection, see `call`.
        self.call(0, |ssl| unsafe { shutdown(ssl) })?;
        self.life = Life::Over;
        Ok(())
    }

    /// The socket, to wait for.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Calls OpenSSL, and says what a result means that is less than what is good.
    fn call(
        &mut self,
        good: c_int,
        call: impl FnOnce(*mut sys::SSL) -> c_int,
    ) -> Result<usize, TlsError> {
        if self.life == Life::Over {
            return Err(TlsError::Closed);
        }
        // What another connection of this thread's has left there would be taken for ours.
        // SAFETY: always may.
        unsafe { (self.openssl.ERR_clear_error)() };
        let result = call(self.ssl.as_ptr());
        let system = io::Error::last_os_error();
        if result >= good {
            return Ok(result.try_into().unwrap_or(0));
        }
        // SAFETY: a live connection, the result of the last call, and nothing between.
        let why = unsafe { (self.openssl.SSL_get_error)(self.ssl.as_ptr(), result) };
        let error = match why {
            openssl::SSL_ERROR_WANT_READ => return Err(TlsError::WantRead),
            openssl::SSL_ERROR_WANT_WRITE => return Err(TlsError::WantWrite),
            openssl::SSL_ERROR_ZERO_RETURN => {
                // They have ended; we may still say so, too.
                return Err(TlsError::Closed);
            }
            openssl::SSL_ERROR_SYSCALL if system.raw_os_error().unwrap_or(0) != 0 => {
                TlsError::Io(system)
            }
            openssl::SSL_ERROR_SSL => TlsError::Protocol(self.openssl.words()),
            _ => TlsError::Closed,
        };
        self.life = Life::Over;
        Err(error)
    }
}

impl<S> Drop for Stream<S> {
    fn drop(&mut self) {
        // SAFETY: ours, freed once; the socket is still open.
        unsafe { (self.openssl.SSL_free)(self.ssl.as_ptr()) };
    }
}

/// OpenSSL counts in C's `int`.
fn short(length: usize) -> c_int {
    length.try_into().unwrap_or(c_int::MAX)
}
