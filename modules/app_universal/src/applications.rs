//! `SetUniVar`, `GetUniVar` and `DelUniVar`.
//!
//! They run on channel threads, hold them for the deadline at most, and never hang up.

use std::ffi::{CStr, CString};

use asterisk::{
    Channel, Registry,
    application::{Application, Then},
};
use univar::{Name, Op};
use universal::{
    Status,
    arguments::{self, ArgumentError},
};

use crate::{
    AppUniversal,
    requests::{self, Answer, Refusal},
    shared::Current,
};

/// The longest value that is put into a channel variable: `${...}` would cut a longer one.
const MAX_VALUE_BYTES: usize = arguments::SUBSTITUTION_BYTES;

pub(crate) fn register(registry: &mut Registry<AppUniversal>) {
    registry.application::<SetUniVar>().application::<GetUniVar>().application::<DelUniVar>();
}

struct SetUniVar;

impl Application for SetUniVar {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"SetUniVar";

    fn run(module: &AppUniversal, channel: &mut Channel<'_>, data: &CStr) -> Then {
        let set = || {
            let (name, value) = arguments::set(data.to_bytes())?;
            requests::set(&module.shared.current(), name, value, None)
        };
        let status = set().unwrap_or_else(|refusal| invalid(Self::NAME, channel, &refusal));
        requests::report(Some(channel), status);
        Then::Continue
    }
}

struct DelUniVar;

impl Application for DelUniVar {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"DelUniVar";

    fn run(module: &AppUniversal, channel: &mut Channel<'_>, data: &CStr) -> Then {
        let status = match arguments::delete(data.to_bytes()) {
            Ok(names) => delete(&module.shared.current(), channel, names),
            Err(error) => invalid(Self::NAME, channel, &error.into()),
        };
        requests::report(Some(channel), status);
        Then::Continue
    }
}

fn delete<'a>(
    current: &Current,
    channel: &Channel<'_>,
    names: impl Iterator<Item = &'a [u8]>,
) -> Status {
    let mut verdict = Verdict::of(DelUniVar::NAME);
    let mut good = Vec::new();
    for name in names {
        match Name::new(name) {
            Ok(checked) => good.push(checked),
            Err(error) => verdict.refuse(name, error.into()),
        }
    }
    let ops: Vec<_> = good.iter().map(|name| Op::Delete { name }).collect();
    for (name, outcome) in good.iter().zip(current.store.run(&ops)) {
        match requests::changed(outcome) {
            Ok(status) => verdict.add(status),
            Err(refusal) => verdict.refuse(name.as_bytes(), refusal),
        }
    }
    verdict.say(channel)
}

struct GetUniVar;

impl Application for GetUniVar {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"GetUniVar";

    fn run(module: &AppUniversal, channel: &mut Channel<'_>, data: &CStr) -> Then {
        let status = match arguments::get(data.to_bytes()) {
            Ok(items) => get(&module.shared.current(), channel, items),
            Err(error) => invalid(Self::NAME, channel, &error.into()),
        };
        requests::report(Some(channel), status);
        Then::Continue
    }
}

fn get<'a>(
    current: &Current,
    channel: &mut Channel<'_>,
    items: impl Iterator<Item = Result<arguments::Fetch<'a>, (&'a [u8], ArgumentError)>>,
) -> Status {
    let mut verdict = Verdict::of(GetUniVar::NAME);
    let mut wanted = Vec::new();
    for item in items {
        let fetch = match item {
            Ok(fetch) => fetch,
            Err((item, error)) => {
                verdict.refuse(item, error.into());
                continue;
            }
        };
        match Name::new(fetch.name) {
            Ok(name) => wanted.push((fetch.variable, name)),
            Err(error) => {
                verdict.refuse(fetch.name, error.into());
                assign(channel, fetch.variable, c"");
            }
        }
    }
    let ops: Vec<_> = wanted.iter().map(|(_, name)| Op::Get { name }).collect();
    for ((variable, name), outcome) in wanted.iter().zip(current.store.run(&ops)) {
        let value = match Answer::from_read(outcome).and_then(|answer| fitting(name, answer)) {
            Ok((value, status)) => {
                verdict.add(status);
                value
            }
            Err(refusal) => {
                verdict.refuse(name.as_bytes(), refusal);
                CString::default()
            }
        };
        assign(channel, variable, &value);
    }
    verdict.say(channel)
}

/// What becomes of an application with several items: the worst status, and the first refusal, for
/// one call makes one line in the log.
struct Verdict {
    application: &'static CStr,
    worst: Status,
    first: Option<(String, Refusal)>,
    refused: usize,
}

impl Verdict {
    fn of(application: &'static CStr) -> Self {
        Self { application, worst: Status::Ok, first: None, refused: 0 }
    }

    fn add(&mut self, status: Status) {
        self.worst = self.worst.max(status);
    }

    fn refuse(&mut self, item: &[u8], refusal: Refusal) {
        self.add(Status::Invalid);
        self.refused += 1;
        self.first.get_or_insert_with(|| (String::from_utf8_lossy(item).into_owned(), refusal));
    }

    fn say(self, channel: &Channel<'_>) -> Status {
        let Some((item, refusal)) = self.first else { return self.worst };
        let (application, spot) = (self.application.to_string_lossy(), channel.spot());
        match self.refused {
            1 => asterisk::warning!("{application} at {spot}: '{item}': {refusal}"),
            n => asterisk::warning!(
                "{application} at {spot}: '{item}': {refusal} ({n} items are wrong)"
            ),
        }
        self.worst
    }
}

/// The value as a channel variable can hold it; empty if there is none.
fn fitting(name: &Name, answer: Answer) -> Result<(CString, Status), Refusal> {
    let status = answer.status();
    let Answer::Value(value) = answer else { return Ok((CString::default(), status)) };
    if value.len() > MAX_VALUE_BYTES {
        let (bytes, limit) = (value.len(), MAX_VALUE_BYTES);
        return Err(Refusal::TooLongForReader { name: name.to_string(), bytes, limit });
    }
    let value = CString::new(value).map_err(|_| Refusal::Nul(name.to_string()))?;
    Ok((value, status))
}

fn assign(channel: &mut Channel<'_>, variable: &[u8], value: &CStr) {
    // `arguments::get` let only letters, digits and `_` through.
    let Ok(variable) = CString::new(variable) else { return };
    if let Err(error) = channel.set_variable(&variable, value) {
        asterisk::warning!("{error}, at {}", channel.spot());
    }
}

/// Logs what is wrong and where in the dialplan it stands.
fn invalid(application: &CStr, channel: &Channel<'_>, refusal: &Refusal) -> Status {
    let application = application.to_string_lossy();
    asterisk::warning!("{application} at {}: {refusal}", channel.spot());
    Status::Invalid
}
