//! Comments: what is left of a line without them.
//!
//! A port of the loop in Asterisk's `config_text_file_load`, for its oddities are what files rely on: `;--` nests,
//! `;---` is a plain comment, `--;` must have its two dashes behind what was looked at before, and one `--;` too
//! many hides the rest of the file.

const NESTED_MAX: i32 = 128;

/// How deep in `;--` comments the reader is. Goes through a whole file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Depth(i32);

impl Depth {
    pub(super) fn is_outside(self) -> bool {
        self.0 == 0
    }

    /// What is left of `line`, if anything may be.
    ///
    /// `line` holds neither NUL nor its line end.
    pub(super) fn strip(&mut self, mut line: Vec<u8>) -> Option<Vec<u8>> {
        // Where what counts begins: at the line's start, behind a `--;`, or nowhere. It ends at the first NUL,
        // which is written over the `;` that begins a comment.
        let mut start = self.is_outside().then_some(0);
        let mut from = 0;
        while let Some(at) = line[from..].iter().position(|&byte| byte == b';' || byte == 0) {
            let at = from + at;
            if line[at] == 0 {
                break;
            }
            if at > from && line[at - 1] == b'\\' {
                line.remove(at - 1);
                from = at;
            } else if opens(&line[at..]) {
                from = (at + 3).min(line.len());
                if self.0 < NESTED_MAX {
                    line[at] = 0;
                    self.0 += 1;
                } else {
                    from = at + 1;
                }
            } else if at >= from + 2 && &line[at - 2..at] == b"--" {
                self.0 -= 1;
                from = at + 1;
                if self.0 == 0 {
                    from = self.close(&mut line, &mut start, from);
                }
            } else if self.0 == 0 {
                line[at] = 0;
                break;
            } else {
                from = at + 1;
            }
        }
        start.map(|start| until_nul(&line[start..]).to_vec())
    }

    /// A comment has ended: what follows it moves up to what stood before it. Gives where to go on.
    fn close(self, line: &mut Vec<u8>, start: &mut Option<usize>, rest: usize) -> usize {
        match *start {
            None => {
                *start = Some(rest);
                rest
            }
            Some(begin) => {
                let end = begin + until_nul(&line[begin..]).len();
                line.drain(end..rest);
                end
            }
        }
    }
}

fn opens(text: &[u8]) -> bool {
    text.starts_with(b";--") && text.get(3) != Some(&b'-')
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(lines: &[&str]) -> Vec<Option<String>> {
        let mut depth = Depth::default();
        let strip = |line: &&str| {
            let left = depth.strip(line.as_bytes().to_vec());
            left.map(|left| String::from_utf8(left).unwrap())
        };
        lines.iter().map(strip).collect()
    }

    fn one(line: &str) -> String {
        stripped(&[line]).remove(0).unwrap()
    }

    #[test]
    fn a_semicolon_begins_a_comment_unless_it_is_escaped() {
        assert_eq!(one("a = b ; c"), "a = b ");
        assert_eq!(one("a = b\\; c ; d"), "a = b; c ");
        assert_eq!(one("a = b\\;\\;c"), "a = b;;c");
        assert_eq!(one("; all"), "");
        assert_eq!(one(";--- a plain comment"), "");
    }

    #[test]
    fn a_block_comment_within_a_line_is_cut_out() {
        assert_eq!(one("a = b;-- c --;d"), "a = bd");
        assert_eq!(one("a = b;-- c --;d;-- e --;f ; g"), "a = bdf ");
    }

    #[test]
    fn block_comments_span_lines_and_nest() {
        let lines = ["a = 1 ;-- x", "b = 2", ";-- inner", "--;", "c = 3 --; d = 4", "e = 5"];
        let left = stripped(&lines);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(left, [text("a = 1 "), None, None, None, text(" d = 4"), text("e = 5")]);
    }

    #[test]
    fn an_end_without_a_beginning_hides_the_rest_as_it_does_in_asterisk() {
        assert_eq!(stripped(&["a = 1 --; b", "c = 2"]), [Some("a = 1 --; b".to_owned()), None]);
    }
}
