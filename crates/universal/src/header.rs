//! Values in AMI headers.
//!
//! AMI has no quoting: a CR or LF in a value would begin a header of its own. So a value is sent
//! percent-encoded as `ValueEncoded`, and as `Value` too when it can stand as it is.

/// Whether `value` can stand in an AMI header as it is: no control byte in it.
///
/// ```
/// assert!(universal::header::is_plain("grüße, \"quoted\" = 1".as_bytes()));
/// assert!(!universal::header::is_plain(b"a\r\nAction: Originate"));
/// ```
#[must_use]
pub fn is_plain(value: &[u8]) -> bool {
    !value.iter().any(u8::is_ascii_control)
}

/// `value` with every byte but `A-Z a-z 0-9 - . _ ~` written as `%XX` (RFC 3986, 2.1).
///
/// ```
/// assert_eq!(universal::header::encode(b"a b\r\n"), "a%20b%0D%0A");
/// ```
#[must_use]
pub fn encode(value: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(value.len() * 3);
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push('%');
            text.push(HEX[usize::from(byte >> 4)].into());
            text.push(HEX[usize::from(byte & 15)].into());
        }
    }
    text
}

/// Undoes [`encode`]; `None` if a `%` is not followed by two hexadecimal digits.
///
/// ```
/// assert_eq!(universal::header::decode(b"a%20b"), Some(b"a b".to_vec()));
/// assert_eq!(universal::header::decode(b"100%"), None);
/// ```
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut value = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        value.push(match byte {
            b'%' => (digit(bytes.next())? * 16 + digit(bytes.next())?).try_into().ok()?,
            other => other,
        });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_encoding() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(encode(&all).as_bytes()), Some(all));
    }

    #[test]
    fn what_is_encoded_is_plain() {
        let all: Vec<u8> = (0..=255).collect();
        assert!(is_plain(encode(&all).as_bytes()));
        assert!(!is_plain(b"\0"));
    }
}
