//! An HTTP/1.1 server for a guest in another program.

#![forbid(unsafe_code)]
