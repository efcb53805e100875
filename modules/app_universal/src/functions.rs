//! `UNIVAR()` and its kin, and `LOCATE()`.

use std::ffi::CStr;

use asterisk::{
    Channel, Registry,
    function::{Access, Function, FunctionError, Value},
};
use universal::{Status, Template, arguments};

use crate::{
    AppUniversal,
    locate::locate,
    requests::{self, Answer, Refusal},
    shared::Current,
};

pub(crate) fn register(registry: &mut Registry<AppUniversal>) {
    registry
        .function::<UniVar>()
        .function::<UniVarExists>()
        .function::<UniVarTtl>()
        .function::<UniVarAdd>()
        .function::<UniVarInc>()
        .function::<Locate>();
}

struct UniVar;

impl Function for UniVar {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"UNIVAR";
    const ACCESS: Access = Access::ReadWrite;

    fn read(
        module: &AppUniversal,
        channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &mut Value<'_>,
    ) -> Result<(), FunctionError> {
        let (name, _ttl) = arguments::name_and_rest(args.to_bytes());
        let answer = requests::get(&module.shared.current(), name);
        finish(channel, answer.map(|answer| (answer.status(), answer)), |answer| match answer {
            Answer::Value(text) => value.set(&text).map_err(FunctionError::from),
            _ => Ok(()),
        })
    }

    fn write(
        module: &AppUniversal,
        channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &CStr,
    ) -> Result<(), FunctionError> {
        let set = || {
            let (args, value) = (args.to_bytes(), value.to_bytes());
            arguments::whole_value(value)?;
            let (name, ttl) = arguments::name_and_rest(args);
            requests::set(&module.shared.current(), name, value, arguments::ttl(ttl)?)
        };
        finish(channel, set().map(|status| (status, ())), Ok)
    }
}

struct UniVarExists;

impl Function for UniVarExists {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"UNIVAR_EXISTS";
    const ACCESS: Access = Access::Read;

    fn read(
        module: &AppUniversal,
        channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &mut Value<'_>,
    ) -> Result<(), FunctionError> {
        let answer = requests::get(&module.shared.current(), args.to_bytes().trim_ascii());
        finish(channel, answer.map(|answer| (answer.status(), answer)), |answer| {
            let text: &[u8] = match answer {
                Answer::Value(_) => b"1",
                Answer::Missing => b"0",
                Answer::Unreachable => b"",
            };
            value.set(text).map_err(FunctionError::from)
        })
    }
}

struct UniVarTtl;

impl Function for UniVarTtl {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"UNIVAR_TTL";
    const ACCESS: Access = Access::ReadWrite;

    fn read(
        module: &AppUniversal,
        channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &mut Value<'_>,
    ) -> Result<(), FunctionError> {
        let life = requests::life(&module.shared.current(), args.to_bytes().trim_ascii());
        finish(channel, life, |life| match life {
            Some(Some(left)) => set_number(value, left.as_secs()),
            Some(None) => set_number(value, -1),
            None => Ok(()),
        })
    }

    fn write(
        module: &AppUniversal,
        channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &CStr,
    ) -> Result<(), FunctionError> {
        let touch = || {
            let life = arguments::life(value.to_bytes())?;
            requests::touch(&module.shared.current(), args.to_bytes().trim_ascii(), life)
        };
        finish(channel, touch().map(|status| (status, ())), Ok)
    }
}

struct UniVarAdd;

impl Function for UniVarAdd {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"UNIVAR_ADD";
    const ACCESS: Access = Access::Read;
    // Reading it writes.
    const DANGEROUS: Option<Access> = Some(Access::Read);

    fn read(
        module: &AppUniversal,
        channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &mut Value<'_>,
    ) -> Result<(), FunctionError> {
        let add = || {
            let add = arguments::add(args.to_bytes())?;
            requests::add(&module.shared.current(), &add.name, &add.value, add.ttl)
        };
        finish(channel, add(), |added| match added {
            Some(won) => set_number(value, u8::from(won)),
            None => Ok(()),
        })
    }
}

struct UniVarInc;

impl Function for UniVarInc {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"UNIVAR_INC";
    const ACCESS: Access = Access::Read;
    // Reading it writes.
    const DANGEROUS: Option<Access> = Some(Access::Read);

    fn read(
        module: &AppUniversal,
        channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &mut Value<'_>,
    ) -> Result<(), FunctionError> {
        let count = || {
            let count = arguments::increment(args.to_bytes())?;
            requests::increment(&module.shared.current(), &count.name, count.by, count.ttl)
        };
        finish(channel, count(), |number| match number {
            Some(number) => set_number(value, number),
            None => Ok(()),
        })
    }
}

fn set_number(value: &mut Value<'_>, number: impl ToString) -> Result<(), FunctionError> {
    Ok(value.set(number.to_string().as_bytes())?)
}

struct Locate;

impl Function for Locate {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"LOCATE";
    const ACCESS: Access = Access::Read;

    fn read(
        module: &AppUniversal,
        channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &mut Value<'_>,
    ) -> Result<(), FunctionError> {
        let (peer, template) = arguments::name_and_rest(args.to_bytes());
        let located = dial_strings(&module.shared.current(), peer, template);
        finish(channel, located, |dial| value.set(&dial).map_err(FunctionError::from))
    }
}

/// Dial strings for all servers that have the peer, with `&` between them.
fn dial_strings(
    current: &Current,
    peer: &[u8],
    template: Option<&[u8]>,
) -> Result<(Status, Vec<u8>), Refusal> {
    let given = template
        .filter(|template| !template.is_empty())
        .map(|template| Template::parse(&String::from_utf8_lossy(template)))
        .transpose()?;
    let located = locate(current, &current.settings.sections, peer, given.as_ref())?;
    let status = located.status();
    let dials: Vec<_> = located.found.into_iter().map(|found| found.dial).collect();
    Ok((status, dials.join(&b'&')))
}

/// Sets `UNIVARSTATUS`, hands over what there is, and says what is wrong if something is.
fn finish<T>(
    channel: Option<&mut Channel<'_>>,
    result: Result<(Status, T), Refusal>,
    hand_over: impl FnOnce(T) -> Result<(), FunctionError>,
) -> Result<(), FunctionError> {
    let (status, result) = match result {
        Ok((status, value)) => match hand_over(value) {
            Ok(()) => (status, Ok(())),
            Err(error) => (Status::Invalid, Err(error)),
        },
        Err(refusal) => (Status::Invalid, Err(FunctionError::failed(refusal))),
    };
    requests::report(channel, status);
    result
}
