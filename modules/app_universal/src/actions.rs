//! AMI: `UniVarGet`, `UniVarSet` and `UniVarDel`.

use std::ffi::CStr;

use asterisk::{
    Registry,
    manager::{Action, Authority, HeaderError, Request, Response},
};
use universal::{Status, arguments, header};

use crate::{
    AppUniversal,
    requests::{self, Answer, Refusal},
};

pub(crate) fn register(registry: &mut Registry<AppUniversal>) {
    registry.action::<UniVarGet>().action::<UniVarSet>().action::<UniVarDel>();
}

/// What is wrong with a request.
#[derive(Debug, thiserror::Error)]
enum Mistake {
    #[error("the header {0} is missing")]
    NoHeader(&'static str),
    #[error("Value and ValueEncoded are both there; send one")]
    TwoValues,
    #[error("ValueEncoded has a '%' without two hexadecimal digits")]
    Encoding,
    #[error("the value has a NUL byte in it, which no dialplan could read")]
    Nul,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Header(#[from] HeaderError),
}

struct UniVarGet;

impl Action for UniVarGet {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"UniVarGet";
    const AUTHORITY: Authority = Authority::SYSTEM.or(Authority::REPORTING);

    fn run(module: &AppUniversal, request: &Request<'_>) -> Response {
        answered((|| {
            let name = name(request)?;
            let answer = requests::get(&module.shared.current(), name)?;
            let mut response = success(name, answer.status())?;
            if let Answer::Value(value) = answer {
                response = response.header("ValueEncoded", header::encode(&value).as_bytes())?;
                if header::is_plain(&value) {
                    response = response.header("Value", &value)?;
                }
            }
            Ok(response)
        })())
    }
}

struct UniVarSet;

impl Action for UniVarSet {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"UniVarSet";
    const AUTHORITY: Authority = Authority::SYSTEM;

    fn run(module: &AppUniversal, request: &Request<'_>) -> Response {
        answered((|| {
            let name = name(request)?;
            let value = value(request)?;
            if value.contains(&0) {
                return Err(Mistake::Nul);
            }
            let ttl = arguments::ttl(request.header("TTL")).map_err(Refusal::from)?;
            let status = requests::set(&module.shared.current(), name, &value, ttl)?;
            success(name, status)
        })())
    }
}

struct UniVarDel;

impl Action for UniVarDel {
    type Module = AppUniversal;
    const NAME: &'static CStr = c"UniVarDel";
    const AUTHORITY: Authority = Authority::SYSTEM;

    fn run(module: &AppUniversal, request: &Request<'_>) -> Response {
        answered((|| {
            let name = name(request)?;
            success(name, requests::delete(&module.shared.current(), name)?)
        })())
    }
}

fn name<'a>(request: &Request<'a>) -> Result<&'a [u8], Mistake> {
    request.header("Name").ok_or(Mistake::NoHeader("Name"))
}

fn value(request: &Request<'_>) -> Result<Vec<u8>, Mistake> {
    match (request.header("Value"), request.header("ValueEncoded")) {
        (Some(_), Some(_)) => Err(Mistake::TwoValues),
        (Some(value), None) => Ok(value.to_vec()),
        (None, Some(encoded)) => header::decode(encoded).ok_or(Mistake::Encoding),
        (None, None) => Err(Mistake::NoHeader("Value or ValueEncoded")),
    }
}

fn success(name: &[u8], status: Status) -> Result<Response, Mistake> {
    let response = Response::success("Universal variable");
    Ok(response.header("Name", name)?.header("Status", status.as_str().as_bytes())?)
}

fn answered(result: Result<Response, Mistake>) -> Response {
    result.unwrap_or_else(|mistake| Response::error(&mistake.to_string()))
}
