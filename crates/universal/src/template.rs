//! The dial string of `dial=` and of `LOCATE()`'s second argument.
//!
//! Two placeholders: `{peer}` is the peer that was asked for, `{identity}` is what its registration
//! record holds. Asterisk's own `${...}` cannot be used in `universal.conf` (it is not expanded
//! there) nor in `LOCATE()` (it is expanded before we see it).

/// A dial string with places for the peer and the identity.
///
/// ```
/// let dial = universal::Template::parse("IAX2/tandem{identity}{peer}").expect("it is well-formed");
/// assert_eq!(dial.fill(b"200", b"@192.0.2.11/"), b"IAX2/tandem@192.0.2.11/200");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(Vec<u8>),
    Peer,
    Identity,
}

/// Why a dial template cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// There is nothing in it.
    #[error("the dial template is empty; write for example IAX2/user:secret{{identity}}{{peer}}")]
    Empty,
    /// A `{` is never closed.
    #[error("the dial template has a '{{' without '}}'")]
    Unclosed,
    /// Something else than `{peer}` or `{identity}`.
    #[error(
        "the dial template has '{{{0}}}', which is not known; it takes {{peer}} and {{identity}}"
    )]
    Unknown(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] for what the user has to mend.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (word, after) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(match word {
                "peer" => Part::Peer,
                "identity" => Part::Identity,
                other => return Err(TemplateError::Unknown(other.into())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts))
    }

    /// The dial string for one peer, on the server that `identity` names.
    #[must_use]
    pub fn fill(&self, peer: &[u8], identity: &[u8]) -> Vec<u8> {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_slice(),
            Part::Peer => peer,
            Part::Identity => identity,
        });
        parts.collect::<Vec<_>>().concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_around_and_between_placeholders_is_kept() {
        let dial = Template::parse("a{peer}b{identity}c").unwrap();
        assert_eq!(dial.fill(b"1", b"@h/"), b"a1b@h/c");
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(Template::parse(""), Err(TemplateError::Empty));
        assert_eq!(Template::parse("SIP/{peer"), Err(TemplateError::Unclosed));
        assert_eq!(Template::parse("SIP/{exten}"), Err(TemplateError::Unknown("exten".into())));
    }
}
