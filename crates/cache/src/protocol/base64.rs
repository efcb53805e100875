//! Base64, for keys that may have any byte in them (the meta flag `b`).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of each letter; 64 for `=`, [`NONE`] for what is no letter.
const VALUES: [u8; 256] = values();
const PADDING: u8 = 64;
const NONE: u8 = u8::MAX;

const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values[b'=' as usize] = PADDING;
    values
}

/// Appends `bytes` in base64.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4 {
            let value = (bits >> (18 - 6 * letter)) & 63;
            let used = letter <= group.len();
            out.push(if used { ALPHABET[value as usize] } else { b'=' });
        }
    }
}

/// Reads base64 as memcached does: what is no letter is passed over, and nothing counts behind the
/// padding. `None` if nothing comes of it.
pub(crate) fn decode<'a>(text: &[u8], out: &'a mut [u8]) -> Option<&'a [u8]> {
    let letters = || text.iter().map(|&byte| VALUES[usize::from(byte)]).filter(|&v| v != NONE);
    let count = letters().count();
    if count == 0 || count % 4 != 0 || count / 4 * 3 > out.len() {
        return None;
    }
    let (mut bits, mut padding, mut len) = (0_u32, 0, 0);
    for (at, value) in letters().enumerate() {
        padding += usize::from(value == PADDING);
        bits = bits << 6 | u32::from(value & 63);
        if at % 4 == 3 {
            out[len..len + 3].copy_from_slice(&bits.to_be_bytes()[1..]);
            len += 3_usize.checked_sub(padding).filter(|&bytes| bytes > 0)?;
            bits = 0;
            if padding > 0 {
                break;
            }
        }
    }
    Some(&out[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        encode(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_examples_of_rfc_4648_come_out() {
        for (bytes, text) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(encoded(bytes.as_bytes()), text);
            assert_eq!(decode(text.as_bytes(), &mut [0; 9]), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn every_byte_goes_there_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = encoded(&bytes);
        assert_eq!(decode(text.as_bytes(), &mut [0; 300]), Some(&bytes[..]));
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for text in ["", "Zg", "Zg=", "====", "Z===", "!!!!"] {
            assert_eq!(decode(text.as_bytes(), &mut [0; 9]), None, "{text}");
        }
        assert_eq!(decode(b"Zm9vYg==", &mut [0; 3]), None, "there is no room");
    }
}
