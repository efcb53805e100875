//! Where registered endpoints are: their drivers' registrars know, and each keeps it elsewhere.
//!
//! chan_pjsip's contacts are objects of [`sorcery`]; chan_iax2 and chan_sip keep a
//! row for each peer in [AstDB](astdb). Both may be files or databases: not for a channel's
//! thread. A peer with a fixed address does not register and is not here.

use std::ffi::{CStr, CString};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sorcery::Object;
use crate::{astdb, sorcery, system};

/// Where an endpoint has registered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Contact {
    /// The driver's technology, as [endpoints](crate::endpoint) have it.
    pub tech: CString,
    /// The endpoint's name in that driver.
    pub resource: CString,
    /// Where calls for it are sent: a URI (`sip:200@192.0.2.1:5060`) or `192.0.2.1:4569`.
    pub address: CString,
    /// What it calls itself; empty if that is not known.
    pub user_agent: CString,
    /// When the registration ends, if that is known: chan_iax2 keeps no beginning.
    pub expires: Option<SystemTime>,
}

/// What is asked of a contact of res_pjsip's.
const FIELDS: [&CStr; 5] = [c"endpoint", c"uri", c"user_agent", c"expiration_time", c"reg_server"];

/// The drivers that keep registrations in AstDB, and where.
const REGISTRIES: [(&CStr, &CStr); 2] = [(c"IAX2", c"IAX/Registry"), (c"SIP", c"SIP/Registry")];

/// All contacts that are registered at this server, in no order.
pub fn all() -> Vec<Contact> {
    let mut found: Vec<_> = sorcery::all(c"res_pjsip", c"contact", &FIELDS)
        .unwrap_or_default()
        .iter()
        .filter(|contact| is_of_this_server(contact))
        .filter_map(of_pjsip)
        .collect();
    for (tech, family) in REGISTRIES {
        let rows = astdb::tree(family).into_iter();
        found.extend(rows.filter_map(|(key, value)| of_registry(tech, family, &key, &value)));
    }
    found
}

/// Whether a contact of res_pjsip's, read with its `reg_server`, was registered here: another
/// server may keep its own in the same database.
pub fn is_of_this_server(contact: &Object) -> bool {
    let server = contact.field(c"reg_server").unwrap_or_default();
    server.is_empty() || system::name().as_deref() == Some(server)
}

fn of_pjsip(contact: &Object) -> Option<Contact> {
    let field = |name| contact.field(name).unwrap_or_default().to_owned();
    // 0 is "for ever".
    let expires = field(c"expiration_time").to_str().ok().and_then(|text| text.parse().ok());
    let expires = expires.filter(|&seconds| seconds > 0).map(Duration::from_secs);
    Some(Contact {
        tech: c"PJSIP".to_owned(),
        resource: contact.field(c"endpoint").filter(|name| !name.is_empty())?.to_owned(),
        address: field(c"uri"),
        user_agent: field(c"user_agent"),
        expires: expires.and_then(|since| UNIX_EPOCH.checked_add(since)),
    })
}

/// `/IAX/Registry/201` = `192.0.2.1:4569:60` (chan_iax2.c, `update_registry`); chan_sip adds user
/// and contact. An IPv6 address is in brackets.
fn of_registry(tech: &CStr, family: &CStr, key: &CStr, value: &CStr) -> Option<Contact> {
    let peer = key.to_bytes().strip_prefix(b"/")?.strip_prefix(family.to_bytes())?;
    let value = value.to_bytes();
    let host_end = value.iter().position(|&byte| byte == b']').unwrap_or(0);
    let mut colons = (host_end..value.len()).filter(|&at| value[at] == b':');
    let (_port, expiry) = (colons.next()?, colons.next()?);
    Some(Contact {
        tech: tech.to_owned(),
        resource: CString::new(peer.strip_prefix(b"/")?).ok()?,
        address: CString::new(&value[..expiry]).ok()?,
        user_agent: CString::default(),
        expires: None,
    })
}
