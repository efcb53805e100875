//! Who asks: a session's cookie, or a name and a password that a program sends (Basic).

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httpd::{Peer, Request};

use crate::remembered::Claim;
use crate::shared::Shared;
use crate::users::{Role, User};

/// Somebody who may ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) user: String,
    pub(crate) role: Role,
    /// Of the password that they came with: with another one they are not in any more.
    pub(crate) hash: String,
    pub(crate) session: Option<OfSession>,
}

/// What only those who came with a cookie have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OfSession {
    pub(crate) token: String,
    pub(crate) csrf: String,
}

/// What a request says of who asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Who {
    /// It is certain.
    Known(Identity),
    /// A worker has to look at the password.
    Claims { user: String, password: String },
    /// Nothing, or nothing that holds.
    Nobody,
}

impl Who {
    /// Finds out.
    pub(crate) fn of(request: &Request, peer: &Peer, shared: &Shared, now: Instant) -> Self {
        if let Some(basic) = request.headers.only("authorization") {
            // Whoever sends a password means it, and does not fall back to a cookie.
            let Some((user, password)) = basic_of(basic) else { return Self::Nobody };
            let from = peer.remote.ip();
            let claim = Claim { user: &user, password: &password, from };
            return match shared.remembered(claim, now) {
                Some(User { role, hash }) => {
                    Self::Known(Identity { user, role, hash, session: None })
                }
                None => Self::Claims { user, password },
            };
        }
        let Some(token) = cookie(request, peer) else { return Self::Nobody };
        let mut sessions = shared.sessions();
        let Some(session) = sessions.find(&token, now) else { return Self::Nobody };
        let csrf = session.csrf.clone();
        let (user, role, hash) = (session.user.clone(), session.role, session.hash.clone());
        Self::Known(Identity { user, role, hash, session: Some(OfSession { token, csrf }) })
    }
}

impl Identity {
    /// Whether a change was asked for by our own page, and not by another one with our cookie.
    pub(crate) fn may_change(&self, csrf: Option<&[u8]>) -> bool {
        match &self.session {
            // No browser asks for a program's password, and other pages cannot send what it has to.
            None => true,
            Some(session) => csrf.is_some_and(|csrf| is_equal(csrf, session.csrf.as_bytes())),
        }
    }
}

/// The cookie's name: cookies are shared by all ports of a host, so it has ours.
pub(crate) fn cookie_name(peer: &Peer) -> String {
    let prefix = if peer.is_secure { "__Host-" } else { "" };
    format!("{prefix}pbx_web_{}", peer.local.port())
}

/// The field that sets it, or takes it back.
pub(crate) fn set_cookie(peer: &Peer, token: Option<&str>) -> String {
    let (name, secure) = (cookie_name(peer), if peer.is_secure { "; Secure" } else { "" });
    let (token, life) = token.map_or(("", "; Max-Age=0"), |token| (token, ""));
    format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict{secure}{life}")
}

fn cookie(request: &Request, peer: &Peer) -> Option<String> {
    let name = cookie_name(peer);
    let pairs = request.headers.all("cookie").flat_map(|field| field.split(|byte| *byte == b';'));
    let values = pairs.filter_map(|pair| {
        let (is, value) = str::from_utf8(pair).ok()?.trim().split_once('=')?;
        (is == name).then(|| value.to_owned())
    });
    values.last()
}

fn basic_of(field: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = str::from_utf8(field).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Takes as long wherever they differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_a_name_and_a_password() {
        let of = |text: &str| basic_of(text.as_bytes());
        // "anna:se:cret"
        let pair = Some(("anna".to_owned(), "se:cret".to_owned()));
        assert_eq!(of("Basic YW5uYTpzZTpjcmV0"), pair);
        assert_eq!(of("basic YW5uYTpzZTpjcmV0"), pair);
        assert_eq!(of("Bearer YW5uYTpzZTpjcmV0"), None);
        assert_eq!(of("Basic !"), None);
        assert_eq!(of("Basic"), None);
        assert_eq!(of("Basic YW5uYQ=="), None, "no colon");
    }

    #[test]
    fn a_change_needs_the_sessions_own_word() {
        let session = Some(OfSession { token: "t".into(), csrf: "word".into() });
        let (user, role, hash) = ("anna".into(), Role::Admin, String::new());
        let identity = Identity { user, role, hash, session };
        assert!(identity.may_change(Some(b"word")));
        for wrong in [None, Some(&b""[..]), Some(b"wor"), Some(b"word2"), Some(b"xord")] {
            assert!(!identity.may_change(wrong), "{wrong:?}");
        }
        assert!(Identity { session: None, ..identity }.may_change(None));
    }
}
