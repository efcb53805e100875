//! The file that `export` writes and `import` reads: lines of JSON, with a header and an end.
//!
//! ```text
//! {"tandem":"univar","version":1,"exported":1790000000,"prefix":"PEER_"}
//! {"name":"PEER_200","value":"@192.0.2.11/","ttl":42}
//! {"end":true,"count":1,"complete":true}
//! ```
//!
//! `exported` is in seconds since 1970; `ttl` is what was left then, in seconds, and absent for ever. What is no UTF-8
//! is in base64, and `encoding` (or `name_encoding`) says so. A file without its end was cut, and is refused.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use univar::{Name, NameError, VALUE_MAX_BYTES};

use crate::session::Record;
use crate::text::{self, escaped};

const KIND: &str = "univar";
const VERSION: u64 = 1;

/// The first line.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Header {
    tandem: String,
    version: u64,
    /// Seconds since 1970.
    pub(super) exported: u64,
    prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix_encoding: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ItemLine {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_encoding: Option<String>,
    value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
}

#[derive(Debug, Deserialize, Serialize)]
struct EndLine {
    end: bool,
    count: usize,
    complete: bool,
}

/// A file that was read whole.
#[derive(Debug)]
pub(super) struct Backup {
    pub(super) header: Header,
    pub(super) items: Vec<Item>,
    /// Whether `export` could read everything that there was.
    pub(super) complete: bool,
}

/// One variable.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Item {
    pub(super) name: Name,
    pub(super) value: Vec<u8>,
    /// What was left of its life when it was exported; `None` is for ever.
    pub(super) life: Option<Duration>,
}

/// Why a file is not imported. Nothing has been written then.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackupError {
    #[error("this is not an export of tandem univar: its first line is another's, or missing")]
    Foreign,
    #[error("it was exported by a newer tandem (format {0}); this one knows format {VERSION}")]
    Newer(u64),
    #[error("it was cut off: the last line, with the count, is missing. Export it again")]
    Cut,
    #[error("it says that it has {said} variables, and has {found}: lines were lost or added")]
    Count { said: usize, found: usize },
    #[error("line {line}: {mistake}")]
    Line { line: usize, mistake: LineMistake },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineMistake {
    #[error("this is no variable: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its name or value is not in the encoding that it says")]
    Encoding,
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("the value has {0} bytes; at most {VALUE_MAX_BYTES} fit")]
    TooLong(usize),
    #[error("{0} is there twice")]
    Repeated(String),
    #[error("something stands behind the last line")]
    AfterEnd,
}

pub(super) fn header(prefix: &[u8], unix_now_s: u64) -> anyhow::Result<String> {
    let (prefix, encoding) = text::encode(prefix);
    Ok(serde_json::to_string(&Header {
        tandem: KIND.into(),
        version: VERSION,
        exported: unix_now_s,
        prefix,
        prefix_encoding: encoding.map(str::to_owned),
    })?)
}

pub(super) fn item(name: &Name, record: &Record) -> anyhow::Result<String> {
    let (name, name_encoding) = text::encode(name.as_bytes());
    let (value, encoding) = text::encode(&record.value);
    Ok(serde_json::to_string(&ItemLine {
        name,
        name_encoding: name_encoding.map(str::to_owned),
        value,
        encoding: encoding.map(str::to_owned),
        ttl: record.life.flatten().map(|life| life.as_secs()),
    })?)
}

pub(super) fn end(count: usize, complete: bool) -> anyhow::Result<String> {
    Ok(serde_json::to_string(&EndLine { end: true, count, complete })?)
}

/// Reads a whole file, and checks all of it.
pub(super) fn read(bytes: &[u8]) -> Result<Backup, BackupError> {
    let mut lines = (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n'));
    let (_, first) = lines.next().ok_or(BackupError::Foreign)?;
    let header = read_header(first)?;
    let mut items = Vec::new();
    let mut names = HashSet::new();
    let mut end: Option<EndLine> = None;
    for (line, text) in lines {
        let mistake = |mistake| BackupError::Line { line, mistake };
        if end.is_some() {
            return Err(mistake(LineMistake::AfterEnd));
        }
        // Half a line is no mistake of the line, but of the file.
        if !text.ends_with(b"\n") {
            return Err(BackupError::Cut);
        }
        let json: Json = serde_json::from_slice(text).map_err(|error| mistake(error.into()))?;
        if json.get("end").is_some() {
            end = Some(serde_json::from_value(json).map_err(|error| mistake(error.into()))?);
            continue;
        }
        let item = read_item(json).map_err(mistake)?;
        if !names.insert(item.name.clone()) {
            return Err(mistake(LineMistake::Repeated(escaped(item.name.as_bytes()))));
        }
        items.push(item);
    }
    let end = end.filter(|end| end.end).ok_or(BackupError::Cut)?;
    if end.count != items.len() {
        return Err(BackupError::Count { said: end.count, found: items.len() });
    }
    Ok(Backup { header, items, complete: end.complete })
}

fn read_header(line: &[u8]) -> Result<Header, BackupError> {
    let json: Json = serde_json::from_slice(line).map_err(|_| BackupError::Foreign)?;
    if json.get("tandem").and_then(Json::as_str) != Some(KIND) {
        return Err(BackupError::Foreign);
    }
    match json.get("version").and_then(Json::as_u64) {
        Some(VERSION) => serde_json::from_value(json).map_err(|_| BackupError::Foreign),
        Some(version) => Err(BackupError::Newer(version)),
        None => Err(BackupError::Foreign),
    }
}

fn read_item(json: Json) -> Result<Item, LineMistake> {
    let line: ItemLine = serde_json::from_value(json)?;
    let name = text::decode(line.name, line.name_encoding.as_deref());
    let value = text::decode(line.value, line.encoding.as_deref());
    let (Some(name), Some(value)) = (name, value) else { return Err(LineMistake::Encoding) };
    if value.len() > VALUE_MAX_BYTES {
        return Err(LineMistake::TooLong(value.len()));
    }
    Ok(Item { name: Name::new(name)?, value, life: line.ttl.map(Duration::from_secs) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> String {
        let record = |value: &[u8], life| Record { value: value.to_vec(), life: Some(life) };
        let name = |name: &[u8]| Name::new(name).unwrap();
        let lines = [
            header(b"", 1000).unwrap(),
            item(&name(b"A"), &record(b"1\n", None)).unwrap(),
            item(&name(b"\xff"), &record(b"\0\xfe", Some(Duration::from_secs(9)))).unwrap(),
            end(2, true).unwrap(),
        ];
        lines.map(|line| line + "\n").concat()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let backup = read(file().as_bytes()).unwrap();
        assert_eq!(backup.header.exported, 1000);
        assert!(backup.complete);
        let name = |name: &[u8]| Name::new(name).unwrap();
        let life = Some(Duration::from_secs(9));
        let first = Item { name: name(b"A"), value: b"1\n".to_vec(), life: None };
        let second = Item { name: name(b"\xff"), value: b"\0\xfe".to_vec(), life };
        assert_eq!(backup.items, [first, second]);
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_refused() {
        let file = file();
        for end in 0..file.len() {
            assert!(read(&file.as_bytes()[..end]).is_err(), "cut after {end} bytes");
        }
    }

    #[test]
    fn a_line_more_or_less_is_refused() {
        let file = file();
        for gone in 0..4 {
            let kept = file.lines().enumerate().filter(|&(at, _)| at != gone);
            let text: String = kept.map(|(_, line)| format!("{line}\n")).collect();
            assert!(read(text.as_bytes()).is_err(), "without line {}", gone + 1);
        }
        let told = |text: String| read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(told(file.clone() + "{}\n"), "line 5: something stands behind the last line");
        let twice = file.replacen("\"A\"", "\"B\"", 1).replace("\"//4=\"", "\"B\"");
        let twice =
            twice.replace("\"name\":\"/w==\",\"name_encoding\":\"base64\"", "\"name\":\"B\"");
        assert_eq!(told(twice), "line 3: B is there twice");
    }

    #[test]
    fn what_is_no_export_is_told_from_a_newer_one() {
        let told = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        for foreign in ["", "hello\n", "{\"name\":\"A\",\"value\":\"1\"}\n", "[]\n"] {
            assert!(told(foreign).starts_with("this is not an export"), "{foreign}");
        }
        assert!(told("{\"tandem\":\"univar\",\"version\":2}\n").contains("by a newer tandem"));
    }
}
