//! Where a request's head ends, found without looking at any byte twice.
//!
//! A line ends with CR LF and nothing else: a lone CR or LF, which others read as a line's end or
//! as a part of it, ends the connection (RFC 9112, 2.2 and 11.2), and so does NUL.

/// What is known after the bytes so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scan {
    /// The head goes on.
    More,
    /// It is that long, with the empty line at its end.
    End(usize),
    /// It has a byte that no head has.
    Bad,
}

/// How far a buffer has been looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    seen: usize,
}

impl Scanner {
    /// Looks at what has been added to `head`, which is what this scanner has seen and more.
    pub(crate) fn scan(&mut self, head: &[u8]) -> Scan {
        loop {
            let Some(found) = memchr::memchr3(b'\r', b'\n', 0, &head[self.seen..]) else {
                self.seen = head.len();
                return Scan::More;
            };
            let at = self.seen + found;
            self.seen = at;
            match (head[at], head.get(at + 1)) {
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => return Scan::More,
                _ => return Scan::Bad,
            }
            self.seen = at + 2;
            if at == 0 || head[..at].ends_with(b"\r\n") {
                return Scan::End(at + 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(head: &[u8]) -> Scan {
        Scanner::default().scan(head)
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        assert_eq!(scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest"), Scan::End(27));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nHost: a\r\n"), Scan::More);
        assert_eq!(scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r"), Scan::More);
        assert_eq!(scan(b"\r\nGET"), Scan::End(2), "nothing but the empty line");
    }

    #[test]
    fn half_a_line_end_is_none() {
        assert_eq!(scan(b"GET / HTTP/1.1\n\n"), Scan::Bad);
        assert_eq!(scan(b"GET / HTTP/1.1\r\rHost"), Scan::Bad);
        assert_eq!(scan(b"GET / \0"), Scan::Bad);
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_come() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut scanner = Scanner::default();
        for end in 0..head.len() {
            assert_eq!(scanner.scan(&head[..end]), Scan::More, "after {end} bytes");
        }
        assert_eq!(scanner.scan(head), Scan::End(head.len()));
    }
}
