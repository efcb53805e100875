//! `pbx_web.so`: a web server inside Asterisk.
//!
//! Glue only. What a request means is decided in `attendant`, HTTP is `httpd`'s, neither of which
//! has Asterisk in it; what Asterisk is, `asterisk` knows.
//!
//! - `pbx`: what the attendant asks of Asterisk;
//! - `secured`: TLS.

use std::ffi::CStr;

mod pbx;
mod secured;

/// The module's name; its file is `pbx_web.so`.
const NAME: &CStr = c"pbx_web";

struct PbxWeb;

impl asterisk::Module for PbxWeb {
    const NAME: &'static CStr = NAME;
    const DESCRIPTION: &'static CStr = c"A web server: what Asterisk does, its log and its console";
    fn load(_registry: &mut asterisk::Registry<Self>) -> Result<Self, asterisk::LoadError> {
        Ok(Self)
    }
}
asterisk::module!(PbxWeb);
