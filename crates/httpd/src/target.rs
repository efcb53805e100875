//! What a request is about: targets, percent-encoding and queries.

/// A target taken apart.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// Decoded.
    pub(crate) path: String,
    pub(crate) query: String,
    /// Of an absolute target.
    pub(crate) host: Option<String>,
}

/// Takes `/path?query`, `http://host/path?query` or `*` apart; `None` if it is none of them.
pub(crate) fn parse(target: &str) -> Option<Target> {
    if !target.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) || target.contains('#') {
        return None;
    }
    if target == "*" {
        return Some(Target { path: "*".into(), query: String::new(), host: None });
    }
    let (host, origin) = match target.starts_with('/') {
        true => (None, target),
        false => {
            let (scheme, rest) = target.split_once("://")?;
            if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                return None;
            }
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (host, origin) = rest.split_at(end);
            (Some(host.to_owned()), if origin.starts_with('/') { origin } else { "/" })
        }
    };
    let (path, query) = origin.split_once('?').unwrap_or((origin, ""));
    let path = decode(path)?;
    Some(Target { path, query: query.into(), host })
}

/// Undoes percent-encoding; `None` if an escape is broken, is NUL, or the result is no UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok().filter(|byte| *byte != 0)?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// The `name=value` pairs of a query or of a form, decoded; `+` is a blank. Broken ones are left
/// out.
pub fn pairs(form: &str) -> impl Iterator<Item = (String, String)> + '_ {
    form.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
    })
}

/// Whether it may be a `Host`: a name or an address, perhaps with a port. Not whether it is ours.
pub(crate) fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port),
            _ => return false,
        },
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    !name.is_empty()
        && name.bytes().all(is_name)
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        let target = parse("/a%20b?c=d%26e").expect("a target");
        assert_eq!((&*target.path, &*target.query, target.host), ("/a b", "c=d%26e", None));
        let target = parse("http://pbx:8011?x").expect("a target");
        assert_eq!((&*target.path, target.host.as_deref()), ("/", Some("pbx:8011")));
        let target = parse("https://pbx/api").expect("a target");
        assert_eq!((&*target.path, target.host.as_deref()), ("/api", Some("pbx")));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for bad in
            ["", "a", "ftp://x/", "/a%2", "/a%zz", "/%00", "/%ff", "/a#b", "/a b", "/ä", "://x"]
        {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn forms_are_decoded() {
        let all: Vec<_> = pairs("a=1+2&b=%26&c&&d=%2").collect();
        let wanted = [("a", "1 2"), ("b", "&"), ("c", "")];
        assert_eq!(all, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for good in ["a", "a.example:80", "[::1]", "[::1]:8011", "192.0.2.1:", "a_b"] {
            assert!(is_host(good), "{good:?}");
        }
        for bad in ["", ":80", "a:b", "a:80:80", "[::1", "[x]", "a/b", "a@b", "a b", "[::1]80"] {
            assert!(!is_host(bad), "{bad:?}");
        }
    }
}
