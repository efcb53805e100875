//! A request's header fields: one copy of its head, and where each field stands in it.

use std::ops::Range;

/// Header fields in their order. Names compare without case, values are bytes without blanks
/// around.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Headers {
    head: Box<[u8]>,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Headers {
    /// `parsed` are slices of `head`.
    pub(crate) fn new(head: &[u8], parsed: &[httparse::Header<'_>]) -> Self {
        let range = |part: &[u8]| {
            // httparse gives an empty value as a slice of nothing.
            let start = part.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
            if part.is_empty() { 0..0 } else { start..start + part.len() }
        };
        let fields = parsed.iter().map(|field| (range(field.name.as_bytes()), range(field.value)));
        Self { fields: fields.collect(), head: head.into() }
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (&self.head[name.clone()], &self.head[value.clone()]))
    }

    /// The values of all fields of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(is, _)| is.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The value of the only field of that name; `None` also if there are several.
    #[must_use]
    pub fn only<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.all(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// Whether a field of that name has `token` in its list.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }
}
