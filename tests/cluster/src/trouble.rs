//! What nodes think of the caches, by their own `universal show servers`.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_lab::Asterisk;

use crate::history::{Nanos, Record, Recorder, Trouble};
use crate::pace::Stop;
use crate::session::Session;

/// How often a node is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// One cache in a node's table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) is_ready: bool,
    errors: u64,
}

/// The rows of `universal show servers`.
pub(crate) fn rows(table: &str) -> Vec<Row> {
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let column = head.iter().position(|word| *word == "Errors");
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(Row {
            name: words.first().filter(|name| name.contains(':'))?.to_string(),
            is_ready: words.get(2) == Some(&"ready"),
            errors: words.get(column?)?.parse().ok()?,
        })
    };
    lines.filter_map(row).collect()
}

/// Asks a node again and again, and writes down since when and until when it had trouble with which cache.
pub(crate) fn watch(server: &Asterisk, recorder: &Recorder, stop: &Stop) {
    let mut session: Option<Session> = None;
    let mut errors: BTreeMap<String, u64> = BTreeMap::new();
    let mut open: BTreeMap<String, (Nanos, Nanos)> = BTreeMap::new();
    let mut last = recorder.now();
    while stop.goes_on_after(ASK_EVERY) {
        if session.is_none() {
            session = Session::open(server, "off").ok();
        }
        let table = session.as_mut().map(|session| session.command("universal show servers"));
        let Some(Ok(table)) = table else {
            session = None;
            continue;
        };
        let now = recorder.now();
        for row in rows(&table) {
            let before = errors.insert(row.name.clone(), row.errors);
            if !row.is_ready || before.is_some_and(|before| row.errors > before) {
                open.entry(row.name).or_insert((last, now)).1 = now;
            } else if let Some(span) = open.remove(&row.name) {
                write(recorder, server, row.name, span);
            }
        }
        last = now;
    }
    for (name, span) in open {
        write(recorder, server, name, span);
    }
}

fn write(recorder: &Recorder, server: &Asterisk, cache: String, (b, e): (Nanos, Nanos)) {
    let s = server.name().to_owned();
    recorder.write(&Record::Trouble(Trouble { s, c: cache, b, e }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_by_its_head() {
        let table = "Server Address State Since Conns Reads Writes Errors  Last error\n\
            10.0.0.1:11211 10.0.0.1:11211 ready 5s 3 10 11 2 -\n\
            10.0.0.2:11211 10.0.0.2:11211 down 5s 3 10 11 7 cannot connect: x\n";
        let found = rows(table);
        assert_eq!(found.len(), 2);
        assert!(found[0].is_ready && found[0].errors == 2);
        assert!(!found[1].is_ready && found[1].errors == 7);
        assert!(rows("No such command").is_empty());
    }
}
