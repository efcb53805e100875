//! As much of SIP as a phone needs to register: REGISTER, its answers, and digest authentication (RFC 2617).

use std::fmt::Write as _;
use std::net::SocketAddr;

use md5::{Digest as _, Md5};

/// What a REGISTER is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Register<'a> {
    pub(crate) number: &'a str,
    /// The phone, and the server.
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// Which phone of the fleet: it comes back in the answer's Call-ID.
    pub(crate) phone: usize,
    pub(crate) cseq: u32,
    pub(crate) expires_secs: u32,
    /// The server's challenge, and the phone's password.
    pub(crate) auth: Option<(&'a Challenge, &'a str)>,
}

impl Register<'_> {
    /// The message.
    pub(crate) fn text(&self) -> String {
        let Self { number, from, to, phone, cseq, expires_secs, .. } = self;
        let server = to.ip();
        let mut text = format!(
            "REGISTER sip:{server} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {from};branch=z9hG4bK-{phone}-{cseq};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{number}@{server}>;tag=phone-{phone}\r\n\
             To: <sip:{number}@{server}>\r\n\
             Call-ID: {phone}-tandem@{ip}\r\n\
             CSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{number}@{from}>\r\n\
             Expires: {expires_secs}\r\n\
             User-Agent: tandem-benches\r\n",
            ip = from.ip(),
        );
        if let Some((challenge, secret)) = self.auth {
            let _infallible =
                write!(text, "{}", challenge.answer(number, secret, &format!("sip:{server}")));
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        text
    }
}

/// What the server wants to be proved.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Challenge {
    realm: String,
    nonce: String,
    opaque: String,
    has_qop: bool,
}

impl Challenge {
    fn parse(header: &str) -> Option<Self> {
        let mut challenge = Self::default();
        for part in header.strip_prefix("Digest")?.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            let value = value.trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "realm" => challenge.realm = value.to_owned(),
                "nonce" => challenge.nonce = value.to_owned(),
                "opaque" => challenge.opaque = value.to_owned(),
                "qop" => challenge.has_qop = true,
                _ => {}
            }
        }
        (!challenge.nonce.is_empty()).then_some(challenge)
    }

    /// The Authorization header.
    fn answer(&self, number: &str, secret: &str, uri: &str) -> String {
        let Self { realm, nonce, opaque, has_qop } = self;
        let (nc, cnonce) = ("00000001", "74616e64656d");
        let ours = md5_hex(&format!("{number}:{realm}:{secret}"));
        let what = md5_hex(&format!("REGISTER:{uri}"));
        let (proof, qop) = if *has_qop {
            let proof = format!("{ours}:{nonce}:{nc}:{cnonce}:auth:{what}");
            (proof, format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\""))
        } else {
            (format!("{ours}:{nonce}:{what}"), String::new())
        };
        let response = md5_hex(&proof);
        let opaque =
            if opaque.is_empty() { String::new() } else { format!(", opaque=\"{opaque}\"") };
        format!(
            "Authorization: Digest username=\"{number}\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"{uri}\", response=\"{response}\", algorithm=MD5{qop}{opaque}\r\n"
        )
    }
}

fn md5_hex(text: &str) -> String {
    let mut hex = String::with_capacity(32);
    for byte in Md5::digest(text.as_bytes()) {
        let _infallible = write!(hex, "{byte:02x}");
    }
    hex
}

/// An answer to a REGISTER.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) phone: usize,
    pub(crate) cseq: u32,
    pub(crate) challenge: Option<Challenge>,
}

impl Answer {
    /// Nothing if it is no answer to one of ours.
    pub(crate) fn parse(message: &str) -> Option<Self> {
        let mut lines = message.split("\r\n");
        let status = lines.next()?.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()?;
        let (mut phone, mut cseq, mut challenge) = (None, None, None);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "call-id" => phone = value.split('-').next()?.parse().ok(),
                "cseq" => cseq = value.split(' ').next()?.parse().ok(),
                "www-authenticate" => challenge = challenge.or_else(|| Challenge::parse(value)),
                _ => {}
            }
        }
        Some(Self { status, phone: phone?, cseq: cseq?, challenge })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_rfc_2617s_own_example() {
        // Section 3.5, with its method and cnonce: only the two hashes are ours to check here.
        let ours = md5_hex("Mufasa:testrealm@host.com:Circle Of Life");
        assert_eq!(ours, "939e7578ed9e3c518a452acee763bce9");
        let what = md5_hex("GET:/dir/index.html");
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let proof = md5_hex(&format!("{ours}:{nonce}:00000001:0a4f113b:auth:{what}"));
        assert_eq!(proof, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn an_answer_is_understood_whatever_else_is_in_it() {
        let text = "SIP/2.0 401 Unauthorized\r\nVia: x\r\nCall-ID: 17-2@127.0.0.1\r\nCSeq: 3 REGISTER\r\n\
                    WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"1/a=\",opaque=\"o\",algorithm=MD5,qop=\"auth\"\r\n\r\n";
        let answer = Answer::parse(text).unwrap();
        assert_eq!((answer.status, answer.phone, answer.cseq), (401, 17, 3));
        let challenge = answer.challenge.unwrap();
        assert_eq!((challenge.nonce.as_str(), challenge.opaque.as_str()), ("1/a=", "o"));
        assert!(challenge.has_qop);
        assert_eq!(Answer::parse("OPTIONS sip:x SIP/2.0\r\n\r\n"), None);
    }
}
