//! Whether a request means this server, and comes from a page of this server's.
//!
//! A page elsewhere can have a browser send requests here, and can have a name of its own resolve
//! to our address (DNS rebinding). So `Host` must be an address that the connection came to, or a
//! name that the configuration knows, and `Origin`, where there is one, must agree with it.

use std::net::IpAddr;

use httpd::{Peer, Request};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Stranger {
    /// It means another server.
    #[error("this server does not go by that name; add it to hostnames= in pbx_web.conf")]
    Host,
    /// A page elsewhere sends it.
    #[error("this request comes from a page of another server")]
    Origin,
}

/// Checks both.
pub(crate) fn check(
    request: &Request,
    peer: &Peer,
    hostnames: &[String],
    is_page: bool,
) -> Result<(), Stranger> {
    let host = request.host.as_deref().ok_or(Stranger::Host)?;
    if !is_ours(host_name(host), peer.local.ip(), hostnames) {
        return Err(Stranger::Host);
    }
    let mut origins = request.headers.all("origin");
    if let Some(origin) = origins.next() {
        let agrees = |origin: &[u8]| {
            str::from_utf8(origin).is_ok_and(|origin| is_same(origin, host, peer.is_secure))
        };
        if !agrees(origin) || origins.next().is_some() {
            return Err(Stranger::Origin);
        }
    }
    // Browsers of today say so themselves. To follow a link to a page is fine.
    let is_strange = |site: &[u8]| !matches!(site, b"same-origin" | b"none");
    if !(is_page && request.method.is_safe())
        && request.headers.all("sec-fetch-site").any(is_strange)
    {
        return Err(Stranger::Origin);
    }
    Ok(())
}

/// Without the port and without brackets.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.split(':').next().unwrap_or(host)
}

fn is_ours(name: &str, local: IpAddr, hostnames: &[String]) -> bool {
    if let Ok(address) = name.parse::<IpAddr>() {
        let address = address.to_canonical();
        let is_named = |known: &String| {
            known.parse::<IpAddr>().is_ok_and(|known| known.to_canonical() == address)
        };
        return address == local.to_canonical() || hostnames.iter().any(is_named);
    }
    let name = name.trim_end_matches('.');
    (name.eq_ignore_ascii_case("localhost") && local.to_canonical().is_loopback())
        || hostnames.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether `origin` is the server that `host` means. What is plain here may have come over TLS to a
/// proxy: then the page's scheme is https.
fn is_same(origin: &str, host: &str, is_secure: bool) -> bool {
    let (tls, plain) = (("https://", ":443"), ("http://", ":80"));
    let schemes: &[_] = if is_secure { &[tls] } else { &[plain, tls] };
    schemes.iter().any(|(scheme, port)| {
        let without = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
        origin.strip_prefix(scheme).is_some_and(|authority| without(authority) == without(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_address_and_our_names_are_ours_and_nothing_else_is() {
        let names = ["pbx.example".to_owned(), "192.0.2.99".to_owned()];
        let ours = |host: &str, local: &str| {
            is_ours(host_name(host), local.parse().expect("an address"), &names)
        };
        assert!(ours("192.0.2.1:8011", "192.0.2.1"));
        assert!(ours("[2001:db8::1]:8011", "2001:db8::1"));
        assert!(ours("[::ffff:192.0.2.1]", "192.0.2.1"));
        assert!(ours("PBX.Example.:8011", "192.0.2.1"));
        assert!(ours("localhost", "127.0.0.1") && ours("localhost:1", "::1"));
        assert!(ours("192.0.2.99", "192.0.2.1"), "by its name, behind a router");
        assert!(!ours("localhost", "192.0.2.1"));
        assert!(!ours("192.0.2.2", "192.0.2.1"));
        assert!(!ours("127.0.0.1", "192.0.2.1"));
        assert!(!ours("evil.example", "127.0.0.1"));
        assert!(!ours("pbx.example.evil.example", "192.0.2.1"));
        assert!(!ours("", "192.0.2.1"));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert!(is_same("http://pbx:8011", "PBX:8011", false));
        assert!(is_same("http://pbx", "pbx:80", false));
        assert!(is_same("https://pbx:443", "pbx", true));
        assert!(!is_same("http://pbx:8012", "pbx:8011", false));
        assert!(!is_same("http://pbx", "pbx", true));
        assert!(is_same("https://pbx", "pbx", false), "behind a proxy that ends TLS");
        assert!(is_same("https://pbx:8443", "pbx:8443", false));
        assert!(is_same("https://pbx", "pbx:443", false));
        assert!(!is_same("https://pbx", "pbx:80", false), "that is http's");
        assert!(!is_same("http://pbx", "pbx:443", false));
        assert!(!is_same("https://pbx:8012", "pbx:8011", false));
        assert!(!is_same("https://evil", "pbx", false));
        assert!(!is_same("null", "pbx:8011", false));
        assert!(!is_same("http://evil", "pbx", false));
    }
}
