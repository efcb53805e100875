//! One universal variable asked for, set or deleted: what applications, functions, CLI and AMI
//! have in common.

use std::time::Duration;

use asterisk::Channel;
use univar::{Name, NameError, Op, Outcome};
use universal::{Status, arguments::ArgumentError};

use crate::shared::Current;

/// The channel variable that says what became of a request.
const STATUS_VARIABLE: &std::ffi::CStr = c"UNIVARSTATUS";

/// Why a request was refused before any cache server was asked, or cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    #[error("universal variable name: {0}")]
    Name(#[from] NameError),
    #[error(transparent)]
    Store(#[from] univar::Invalid),
    #[error("the value of {name} has {bytes} bytes; only {limit} can be handed over here")]
    TooLongForReader { name: String, bytes: usize, limit: usize },
    #[error("the value of {0} has a NUL byte in it, which Asterisk cannot carry")]
    Nul(String),
    #[error("it is no identity: too long, or with control bytes, '&' or ',' in it")]
    NotDialable,
    #[error("no section of universal.conf has prefixes= or a prefix=, so no peer can be located")]
    NoPrefixes,
    #[error("the switch's section is not in universal.conf any more, or has no match=")]
    NoSwitch,
    #[error("there is no dial= beside prefixes= in universal.conf and no template was given")]
    NoTemplate,
    #[error(transparent)]
    Template(#[from] universal::TemplateError),
}

/// The value of one variable, or what became of asking.
pub(crate) enum Answer {
    Value(Vec<u8>),
    Missing,
    Unreachable,
}

impl Answer {
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Value(_) => Status::Ok,
            Self::Missing => Status::Missing,
            Self::Unreachable => Status::Unreachable,
        }
    }

    /// What a read was answered.
    pub(crate) fn from_read(outcome: Outcome) -> Result<Self, Refusal> {
        match outcome {
            Outcome::Value(value) => Ok(Self::Value(value)),
            Outcome::Missing => Ok(Self::Missing),
            Outcome::Invalid(why) => Err(why.into()),
            _ => Ok(Self::Unreachable),
        }
    }
}

pub(crate) fn get(current: &Current, name: &[u8]) -> Result<Answer, Refusal> {
    let name = Name::new(name)?;
    Answer::from_read(one(current, Op::Get { name: &name }))
}

pub(crate) fn set(
    current: &Current,
    name: &[u8],
    value: &[u8],
    ttl: Option<Duration>,
) -> Result<Status, Refusal> {
    let name = Name::new(name)?;
    changed(one(current, Op::Set { name: &name, value, ttl }))
}

pub(crate) fn delete(current: &Current, name: &[u8]) -> Result<Status, Refusal> {
    let name = Name::new(name)?;
    changed(one(current, Op::Delete { name: &name }))
}

/// How long a variable will live: `Some(None)` is for ever.
pub(crate) fn life(
    current: &Current,
    name: &[u8],
) -> Result<(Status, Option<Option<Duration>>), Refusal> {
    let name = Name::new(name)?;
    Ok(match one(current, Op::Life { name: &name }) {
        Outcome::Life(left) => (Status::Ok, Some(left)),
        other => (changed(other)?, None),
    })
}

/// Gives a variable that is there another time to live.
pub(crate) fn touch(
    current: &Current,
    name: &[u8],
    ttl: Option<Duration>,
) -> Result<Status, Refusal> {
    let name = Name::new(name)?;
    changed(one(current, Op::Touch { name: &name, ttl }))
}

/// Sets a variable if there is none, and says whether it did.
pub(crate) fn add(
    current: &Current,
    name: &[u8],
    value: &[u8],
    ttl: Option<Duration>,
) -> Result<(Status, Option<bool>), Refusal> {
    let name = Name::new(name)?;
    Ok(match one(current, Op::Add { name: &name, value, ttl }) {
        Outcome::Done => (Status::Ok, Some(true)),
        Outcome::Exists => (Status::Ok, Some(false)),
        other => (changed(other)?, None),
    })
}

/// Counts, and says how far.
pub(crate) fn increment(
    current: &Current,
    name: &[u8],
    by: i64,
    ttl: Option<Duration>,
) -> Result<(Status, Option<i64>), Refusal> {
    let name = Name::new(name)?;
    Ok(match one(current, Op::Increment { name: &name, by, ttl }) {
        Outcome::Number(number) => (Status::Ok, Some(number)),
        other => (changed(other)?, None),
    })
}

/// What a write or delete was answered.
pub(crate) fn changed(outcome: Outcome) -> Result<Status, Refusal> {
    match outcome {
        Outcome::Done => Ok(Status::Ok),
        Outcome::Missing => Ok(Status::Missing),
        Outcome::Invalid(why) => Err(why.into()),
        _ => Ok(Status::Unreachable),
    }
}

/// Sets `UNIVARSTATUS`.
pub(crate) fn report(channel: Option<&mut Channel<'_>>, status: Status) {
    let Some(channel) = channel else { return };
    let text = match status {
        Status::Ok => c"OK",
        Status::Missing => c"MISSING",
        Status::Unreachable => c"UNREACHABLE",
        Status::Invalid => c"INVALID",
    };
    // Asterisk makes an event of each variable that is set: a tenth of what a whole look-up costs.
    if channel.variable(STATUS_VARIABLE).as_deref() == Some(text) {
        return;
    }
    // It fails only for a name that is none.
    let _ = channel.set_variable(STATUS_VARIABLE, text);
}

fn one(current: &Current, op: Op<'_>) -> Outcome {
    current.store.run(&[op]).pop().unwrap_or(Outcome::Unreachable)
}
