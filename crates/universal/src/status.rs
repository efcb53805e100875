//! `UNIVARSTATUS`: what became of an application or function.

/// The answer in `UNIVARSTATUS`, from best to worst.
///
/// "Not there" and "cannot tell" are never the same answer. Of several names the worst counts:
/// `statuses.max()`.
///
/// ```
/// use universal::Status;
/// assert_eq!([Status::Missing, Status::Ok].into_iter().max(), Some(Status::Missing));
/// assert_eq!(Status::Unreachable.as_str(), "UNREACHABLE");
/// ```
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Status {
    /// Done, or found.
    Ok,
    /// Certainly not there.
    Missing,
    /// Cannot tell: no cache server could say for certain.
    Unreachable,
    /// The request itself is wrong: a bad name, a value too long, a missing `=`.
    Invalid,
}

impl Status {
    /// The word that the dialplan sees.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Missing => "MISSING",
            Self::Unreachable => "UNREACHABLE",
            Self::Invalid => "INVALID",
        }
    }
}
