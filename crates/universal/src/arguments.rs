//! The arguments of `SetUniVar`, `GetUniVar`, `DelUniVar` and of the functions, taken apart.
//!
//! Asterisk cuts what is too long for its buffers before we see it, and says nothing. So an
//! argument that fills its buffer is refused: it may be the rest of a longer one.

/// The most bytes of an application's argument that Asterisk hands over: one less than
/// `EXT_DATA_SIZE` (main/pbx.c). An argument of this length may have been cut.
pub const APPLICATION_BYTES: usize = 8191;

/// The most bytes that one `${...}` can carry, be it of a variable or a function: one less than
/// `VAR_BUF_SIZE` (main/pbx_private.h). What is longer is cut to this length, wherever it stands in
/// an argument. So a value of this length or more may have a cut piece in it.
pub const SUBSTITUTION_BYTES: usize = 4095;

/// The most bytes of a function's argument that is certainly whole: its name and its parentheses
/// share the `${...}` with it.
pub const FUNCTION_BYTES: usize = SUBSTITUTION_BYTES - 16;

/// What is wrong with an argument.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// It fills Asterisk's buffer.
    #[error(
        "the argument fills Asterisk's buffer of {APPLICATION_BYTES} bytes and may have been cut; \
         nothing was done. Use a shorter value"
    )]
    MayBeCut,
    /// A `${...}` in the value may have been cut.
    #[error(
        "the value has {SUBSTITUTION_BYTES} bytes or more, where Asterisk may have cut it; nothing was \
         done. Use a shorter value"
    )]
    ValueMayBeCut,
    /// A function's argument that may have been cut.
    #[error(
        "the argument has more than {FUNCTION_BYTES} bytes, where Asterisk may have cut it; nothing was \
         done. Use a shorter value"
    )]
    FunctionMayBeCut,
    /// There is no `=`.
    #[error("'=' is missing; write {0}")]
    NoEquals(&'static str),
    /// The channel variable's name cannot be one.
    #[error(
        "the channel variable before '=' must be of letters, digits and '_', and not begin with a digit"
    )]
    BadVariable,
    /// Nothing was given.
    #[error("an argument is missing; write {0}")]
    Missing(&'static str),
    /// The time to live is no number of seconds.
    #[error("the time to live must be a whole number of seconds, 1 or more")]
    BadTtl,
    /// As above, behind a value.
    #[error(
        "the time to live must be a whole number of seconds, 1 or more; a value with commas in it stands \
         in double quotes"
    )]
    BadTtlOrCommas,
    /// The life of a variable that is there already is no number of seconds, and not -1.
    #[error(
        "the time to live must be a whole number of seconds, 1 or more, or -1 for one that lives for ever"
    )]
    BadLife,
    /// A counter's step is no whole number.
    #[error("the number to count by must be a whole number")]
    BadStep,
}

/// `SetUniVar`'s argument: all after the first `=` is the value.
///
/// # Errors
///
/// [`ArgumentError::MayBeCut`], [`ArgumentError::ValueMayBeCut`] or [`ArgumentError::NoEquals`].
///
/// ```
/// let (name, value) = universal::arguments::set(b"greeting=a,b=\"c\"").expect("it is well-formed");
/// assert_eq!((name, value), (&b"greeting"[..], &b"a,b=\"c\""[..]));
/// ```
pub fn set(data: &[u8]) -> Result<(&[u8], &[u8]), ArgumentError> {
    whole(data)?;
    let (name, value) =
        split_equals(data).ok_or(ArgumentError::NoEquals("SetUniVar(name=value)"))?;
    whole_value(value)?;
    Ok((name, value))
}

/// Whether a value that came through the dialplan is certainly whole.
///
/// # Errors
///
/// [`ArgumentError::ValueMayBeCut`].
pub fn whole_value(value: &[u8]) -> Result<(), ArgumentError> {
    if value.len() >= SUBSTITUTION_BYTES { Err(ArgumentError::ValueMayBeCut) } else { Ok(()) }
}

/// One `VAR=name` of `GetUniVar`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fetch<'a> {
    /// The channel variable that is to get the value.
    pub variable: &'a [u8],
    /// The universal variable, not checked yet.
    pub name: &'a [u8],
}

/// `GetUniVar`'s argument, one result for each item between the commas.
///
/// # Errors
///
/// [`ArgumentError::MayBeCut`] or [`ArgumentError::Missing`] for the whole; the items have results
/// of their own, for one bad item does not spoil the others. A bad one comes with its error.
pub fn get(
    data: &[u8],
) -> Result<impl Iterator<Item = Result<Fetch<'_>, (&[u8], ArgumentError)>>, ArgumentError> {
    const FORM: &str = "GetUniVar(VAR=name[,VAR2=name2...])";
    whole(data)?;
    if data.is_empty() {
        return Err(ArgumentError::Missing(FORM));
    }
    Ok(data.split(|&byte| byte == b',').map(|item| {
        let item = item.trim_ascii();
        let (variable, name) = split_equals(item).ok_or((item, ArgumentError::NoEquals(FORM)))?;
        let variable = variable.trim_ascii();
        if !is_channel_variable(variable) {
            return Err((item, ArgumentError::BadVariable));
        }
        Ok(Fetch { variable, name: name.trim_ascii() })
    }))
}

/// `DelUniVar`'s argument: names, not checked yet.
///
/// # Errors
///
/// [`ArgumentError::MayBeCut`] or [`ArgumentError::Missing`].
pub fn delete(data: &[u8]) -> Result<impl Iterator<Item = &[u8]>, ArgumentError> {
    whole(data)?;
    if data.is_empty() {
        return Err(ArgumentError::Missing("DelUniVar(name[,name2...])"));
    }
    Ok(data.split(|&byte| byte == b',').map(<[u8]>::trim_ascii))
}

/// A function's argument: a name, and after a comma a second part if there is one.
#[must_use]
pub fn name_and_rest(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    match data.iter().position(|&byte| byte == b',') {
        Some(at) => (data[..at].trim_ascii(), Some(data[at + 1..].trim_ascii())),
        None => (data.trim_ascii(), None),
    }
}

/// A time to live in seconds; `None` and the empty string are "for ever".
///
/// # Errors
///
/// [`ArgumentError::BadTtl`].
pub fn ttl(text: Option<&[u8]>) -> Result<Option<std::time::Duration>, ArgumentError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let seconds = str::from_utf8(text).ok().and_then(|text| text.parse::<u32>().ok());
    match seconds {
        Some(seconds @ 1..) => Ok(Some(std::time::Duration::from_secs(seconds.into()))),
        _ => Err(ArgumentError::BadTtl),
    }
}

/// The life of a variable that is there, as `UNIVAR_TTL()` reads and writes it: `-1` is "for ever".
///
/// Nothing else is: not 0, not the empty string. Else a sum that went wrong, or the empty answer of a
/// cache that was not there, would make a variable immortal.
///
/// # Errors
///
/// [`ArgumentError::BadLife`].
pub fn life(text: &[u8]) -> Result<Option<std::time::Duration>, ArgumentError> {
    match text.trim_ascii() {
        b"-1" => Ok(None),
        b"" => Err(ArgumentError::BadLife),
        text => ttl(Some(text)).map_err(|_| ArgumentError::BadLife),
    }
}

/// What `UNIVAR_ADD()` is to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Add {
    /// The universal variable, not checked yet.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// How long it lives; `None` is for ever.
    pub ttl: Option<std::time::Duration>,
}

/// `UNIVAR_ADD`'s argument: `name,value[,ttl]`, taken apart as Asterisk's own functions do.
///
/// # Errors
///
/// [`ArgumentError`].
///
/// ```
/// let add = universal::arguments::add(br#"lock,"a,b",30"#).expect("it is well-formed");
/// assert_eq!(add.value, b"a,b");
/// ```
pub fn add(data: &[u8]) -> Result<Add, ArgumentError> {
    let mut parts = separate(data)?.into_iter();
    let name = parts.next().unwrap_or_default().trim_ascii().to_vec();
    let value = parts.next().ok_or(ArgumentError::Missing("UNIVAR_ADD(name,value[,ttl])"))?;
    let ttl = parts.next().unwrap_or_default();
    let ttl = ttl_of(&ttl).map_err(|_| ArgumentError::BadTtlOrCommas)?;
    Ok(Add { name, value, ttl })
}

/// What `UNIVAR_INC()` is to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Increment {
    /// The universal variable, not checked yet.
    pub name: Vec<u8>,
    /// How much to add.
    pub by: i64,
    /// How long a counter lives that begins with this; `None` is for ever.
    pub ttl: Option<std::time::Duration>,
}

/// `UNIVAR_INC`'s argument: `name[,by[,ttl]]`.
///
/// # Errors
///
/// [`ArgumentError`].
pub fn increment(data: &[u8]) -> Result<Increment, ArgumentError> {
    let mut parts = separate(data)?.into_iter();
    let name = parts.next().unwrap_or_default().trim_ascii().to_vec();
    let by = match parts.next().unwrap_or_default().trim_ascii() {
        b"" => 1,
        by => {
            let by = str::from_utf8(by).ok().and_then(|by| by.parse().ok());
            by.ok_or(ArgumentError::BadStep)?
        }
    };
    let ttl = ttl_of(&parts.next().unwrap_or_default())?;
    Ok(Increment { name, by, ttl })
}

fn ttl_of(text: &[u8]) -> Result<Option<std::time::Duration>, ArgumentError> {
    ttl(Some(text.trim_ascii()))
}

/// A function's argument in at most three parts, by the rules of Asterisk's own
/// (`__ast_app_separate_args`, main/app.c): a comma between double quotes, in parentheses or in
/// brackets separates nothing; quotes are taken away, and a backslash keeps what follows it as it
/// is. The last part has all that is left, as it is.
fn separate(data: &[u8]) -> Result<Vec<Vec<u8>>, ArgumentError> {
    const MOST: usize = 3;
    if data.len() > FUNCTION_BYTES {
        return Err(ArgumentError::FunctionMayBeCut);
    }
    let mut parts = vec![Vec::new()];
    let (mut parentheses, mut brackets, mut quoted) = (0_usize, 0_usize, false);
    let mut bytes = data.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                quoted = !quoted;
                continue;
            }
            b'\\' => {
                parts.last_mut().into_iter().for_each(|part| part.extend(bytes.next()));
                continue;
            }
            b'(' => parentheses += 1,
            b')' => parentheses = parentheses.saturating_sub(1),
            b'[' => brackets += 1,
            b']' => brackets = brackets.saturating_sub(1),
            b',' if !quoted && parentheses == 0 && brackets == 0 => {
                parts.push(Vec::new());
                if parts.len() == MOST {
                    parts.last_mut().into_iter().for_each(|part| part.extend(bytes.by_ref()));
                }
                continue;
            }
            _ => {}
        }
        parts.last_mut().into_iter().for_each(|part| part.push(byte));
    }
    Ok(parts)
}

fn whole(data: &[u8]) -> Result<(), ArgumentError> {
    if data.len() >= APPLICATION_BYTES { Err(ArgumentError::MayBeCut) } else { Ok(()) }
}

fn split_equals(item: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = item.iter().position(|&byte| byte == b'=')?;
    Some((&item[..at], &item[at + 1..]))
}

/// Leading underscores are Asterisk's way to say that a called channel inherits the variable.
fn is_channel_variable(name: &[u8]) -> bool {
    name.first().is_some_and(|first| !first.is_ascii_digit())
        && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.iter().any(|&byte| byte != b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetches(data: &[u8]) -> Vec<Result<Fetch<'_>, ArgumentError>> {
        get(data).unwrap().map(|item| item.map_err(|(_, error)| error)).collect()
    }

    #[test]
    fn all_after_the_first_equals_is_the_value() {
        assert_eq!(set(b"a==b"), Ok((&b"a"[..], &b"=b"[..])));
        assert_eq!(set(b"a="), Ok((&b"a"[..], &b""[..])));
        assert_eq!(set(b"a= b "), Ok((&b"a"[..], &b" b "[..])));
        assert!(matches!(set(b"a"), Err(ArgumentError::NoEquals(_))));
    }

    #[test]
    fn a_value_that_may_have_been_cut_is_refused_and_one_byte_less_is_not() {
        let fits = [b"a=".as_slice(), &vec![b'x'; SUBSTITUTION_BYTES - 1]].concat();
        assert_eq!(set(&fits).unwrap().1.len(), 4094);
        let full = [b"a=".as_slice(), &vec![b'x'; SUBSTITUTION_BYTES]].concat();
        assert_eq!(set(&full), Err(ArgumentError::ValueMayBeCut));
    }

    #[test]
    fn an_argument_that_fills_the_buffer_is_refused() {
        let names = vec![b'x'; APPLICATION_BYTES];
        assert_eq!(set(&names), Err(ArgumentError::MayBeCut));
        assert_eq!(delete(&names).err(), Some(ArgumentError::MayBeCut));
        assert!(delete(&names[1..]).is_ok());
        assert_eq!(get(&names).err(), Some(ArgumentError::MayBeCut));
    }

    #[test]
    fn one_bad_item_does_not_spoil_the_others() {
        let all = fetches(b"A=x,oops,1B=y, C = z");
        assert_eq!(all[0], Ok(Fetch { variable: b"A", name: b"x" }));
        assert!(matches!(all[1], Err(ArgumentError::NoEquals(_))));
        assert_eq!(all[2], Err(ArgumentError::BadVariable));
        assert_eq!(all[3], Ok(Fetch { variable: b"C", name: b"z" }));
    }

    #[test]
    fn inherited_channel_variables_are_accepted() {
        assert_eq!(fetches(b"__X=y"), [Ok(Fetch { variable: b"__X", name: b"y" })]);
        assert_eq!(fetches(b"__=y"), [Err(ArgumentError::BadVariable)]);
        assert_eq!(fetches(b"SHELL(x)=y"), [Err(ArgumentError::BadVariable)]);
    }

    #[test]
    fn a_lock_is_taken_apart_as_asterisk_does() {
        let seconds = |n| Some(std::time::Duration::from_secs(n));
        for (text, value, ttl) in [
            (&b"n,v"[..], &b"v"[..], None),
            (b" n ,v,30", b"v", seconds(30)),
            (b"n,", b"", None),
            (b"n,,5", b"", seconds(5)),
            (br#"n,"a,b",5"#, b"a,b", seconds(5)),
            (br"n,a\,b\\,5", br"a,b\", seconds(5)),
            (b"n,f(a,b)[c,d]", b"f(a,b)[c,d]", None),
            (b"n, v ", b" v ", None),
        ] {
            let wanted = Add { name: b"n".into(), value: value.into(), ttl };
            assert_eq!(add(text), Ok(wanted), "{}", text.escape_ascii());
        }
        assert!(matches!(add(b"n"), Err(ArgumentError::Missing(_))));
        assert_eq!(add(b"n,a,b"), Err(ArgumentError::BadTtlOrCommas));
        assert_eq!(add(b"n,a,5,6"), Err(ArgumentError::BadTtlOrCommas));
        let long = [&b"n,"[..], &vec![b'x'; FUNCTION_BYTES - 1]].concat();
        assert_eq!(add(&long), Err(ArgumentError::FunctionMayBeCut));
        assert!(add(&long[..FUNCTION_BYTES]).is_ok());
    }

    #[test]
    fn a_counter_counts_by_one_unless_it_is_told_otherwise() {
        let counted = |text: &[u8]| increment(text).map(|i| (i.by, i.ttl.map(|ttl| ttl.as_secs())));
        assert_eq!(counted(b"n"), Ok((1, None)));
        assert_eq!(counted(b"n,-5"), Ok((-5, None)));
        assert_eq!(counted(b"n,,60"), Ok((1, Some(60))));
        assert_eq!(counted(b"n,2,60"), Ok((2, Some(60))));
        assert_eq!(counted(b"n,much"), Err(ArgumentError::BadStep));
        assert_eq!(counted(b"n,1.5"), Err(ArgumentError::BadStep));
        assert_eq!(counted(b"n,1,soon"), Err(ArgumentError::BadTtl));
    }

    #[test]
    fn only_minus_one_is_for_ever_where_a_life_is_changed() {
        assert_eq!(life(b"-1"), Ok(None));
        assert_eq!(life(b"30"), Ok(Some(std::time::Duration::from_secs(30))));
        for bad in [&b""[..], b"0", b"-2", b"1.5", b"never"] {
            assert_eq!(life(bad), Err(ArgumentError::BadLife));
        }
    }

    #[test]
    fn times_to_live_are_whole_seconds_from_one() {
        assert_eq!(ttl(None), Ok(None));
        assert_eq!(ttl(Some(b"")), Ok(None));
        assert_eq!(ttl(Some(b"60")), Ok(Some(std::time::Duration::from_secs(60))));
        for bad in [&b"0"[..], b"-1", b"1.5", b"a", b"99999999999"] {
            assert_eq!(ttl(Some(bad)), Err(ArgumentError::BadTtl));
        }
    }
}
