//! What Asterisk prints for terminals, as plain text.

/// The least of the bytes that Asterisk puts before a line to tell its verbosity
/// (`VERBOSE_HASMAGIC` in logger.h: minus one for level 0, minus two for level 1, ...). No byte of
/// UTF-8 is as large.
const MAGIC_MIN: u8 = 0xf5;

/// Takes escape sequences, control characters and verbosity marks out of bytes that come in pieces.
/// What is no UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    state: State,
    /// The beginning of a character whose rest has not come.
    tail: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// In `ESC [ ...`.
    Sequence,
    /// In `ESC ] ... BEL`.
    Title,
}

impl Cleaner {
    /// Appends what `bytes` say to `text`.
    pub(crate) fn clean(&mut self, bytes: &[u8], text: &mut String) {
        let mut plain = std::mem::take(&mut self.tail);
        plain.extend(bytes.iter().filter(|byte| self.is_text(**byte)));
        let mut chunks = plain.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            if chunks.peek().is_none() && is_beginning(invalid) {
                self.tail = invalid.to_vec();
            } else {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    fn is_text(&mut self, byte: u8) -> bool {
        match (self.state, byte) {
            (State::Text, 0x1b) => self.state = State::Escape,
            (State::Text, b'\n' | b'\t') => return true,
            (State::Text, byte) => {
                return !byte.is_ascii_control() && byte < MAGIC_MIN;
            }
            (State::Escape, b'[') => self.state = State::Sequence,
            (State::Escape, b']') => self.state = State::Title,
            (State::Escape, _) => self.state = State::Text,
            (State::Sequence, 0x40..=0x7e) | (State::Title, 0x07) => self.state = State::Text,
            // Nobody sends such a thing; better to show too much than nothing from here on.
            (State::Sequence | State::Title, b'\n') => {
                self.state = State::Text;
                return true;
            }
            (State::Sequence | State::Title, _) => {}
        }
        false
    }
}

/// Whether more bytes could make a character of it.
fn is_beginning(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// All at once.
pub(crate) fn clean(bytes: &[u8]) -> String {
    let (mut cleaner, mut text) = (Cleaner::default(), String::new());
    cleaner.clean(bytes, &mut text);
    text
}

/// What somebody says of themselves, for a line of a log: what is hidden becomes blanks, and it is
/// not longer than a line.
pub(crate) fn for_log(text: &str) -> String {
    const MOST_CHARS: usize = 200;
    text.chars().take(MOST_CHARS).map(|c| if is_hidden(c) { ' ' } else { c }).collect()
}

/// Whether it shows nothing, or turns the direction of what stands around it: control and format
/// characters, but for the joiners that scripts and emoji need. pages/app.js has the same list.
fn is_hidden(character: char) -> bool {
    match character {
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => {
            true
        }
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => true,
        other => other.is_control(),
    }
}

/// For a page, where nothing that it says may be hidden.
pub(crate) fn for_html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            hidden if is_hidden(hidden) => html.extend(hidden.escape_unicode()),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_marks_and_control_characters_are_taken_out() {
        assert_eq!(clean(b"\x1b[1;32mgreen\x1b[0m\r\n\x07end\t."), "green\nend\t.");
        assert_eq!(clean(b"\xfdverbose\n\xffmore"), "verbose\nmore");
        assert_eq!(
            clean(b"\x1b]0;title\x07text\x1b=x"),
            "titletextx".strip_prefix("title").expect("it")
        );
        assert_eq!(clean("Grüße\n".as_bytes()), "Grüße\n");
        assert_eq!(clean(b"a\xc3(b"), "a\u{fffd}(b");
        assert_eq!(clean(b"\x1b[31never ends\nand yet"), "ever ends\nand yet");
    }

    #[test]
    fn html_is_text() {
        assert_eq!(for_html("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn what_is_hidden_is_seen_on_a_page_and_blank_in_a_log() {
        let said = "a\u{202e}b\u{2066}\n\u{9b}\u{200b}";
        assert_eq!(for_html(said), r"a\u{202e}b\u{2066}\u{a}\u{9b}\u{200b}");
        assert_eq!(for_log(said), "a b    ");
        let plain = "Grüße, שלום, क्\u{200d}ष";
        assert_eq!((for_html(plain), for_log(plain)), (plain.into(), plain.into()));
    }

    proptest! {
        #[test]
        fn pieces_say_what_the_whole_says(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            text in ".{0,20}",
            cut in any::<usize>(),
        ) {
            let bytes = [bytes.as_slice(), text.as_bytes()].concat();
            let (mut cleaner, mut pieces) = (Cleaner::default(), String::new());
            let (one, two) = bytes.split_at(cut % (bytes.len() + 1));
            cleaner.clean(one, &mut pieces);
            cleaner.clean(two, &mut pieces);
            prop_assert_eq!(pieces, clean(&bytes));
        }
    }
}
