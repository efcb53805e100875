//! Histories that are whole, and those that are not.

use super::*;

fn op(n: &str, k: Kind, times: [Nanos; 2]) -> Op {
    Op {
        s: "A".into(),
        via: Via::Dialplan,
        k,
        n: n.into(),
        v: Some(format!("w{}", times[0])),
        ttl: Some(5),
        b: times[0],
        e: times[1],
        o: Outcome::Unreachable,
        r: None,
    }
}

fn scenario(name: &str, from: Nanos) -> Scenario {
    let [b, begin, begun, end, ended, healed, e] = [0, 1, 2, 3, 4, 5, 10].map(|after| from + after);
    let (name, on) = (name.into(), "cache1".into());
    Scenario { name, fault: Fault::Killed, on, b, begin, begun, end, ended, healed, e, told: None }
}

/// A file of our own with a whole history in it, and its lines.
struct Saved {
    folder: PathBuf,
    path: PathBuf,
    lines: Vec<String>,
}

impl Saved {
    fn new(name: &str) -> Self {
        let folder = format!("tandem-history-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("history.jsonl");
        let recorder = Recorder::create(&path, header()).unwrap();
        recorder.write(&Record::Op(op("r1", Kind::Get, [1, 2])));
        recorder.write(&Record::Op(op("r1", Kind::Set, [3, 5])));
        recorder.write(&Record::Op(op("r2", Kind::Get, [21, 22])));
        recorder.write(&Record::Scenario(scenario("killed", 0)));
        recorder.write(&Record::Scenario(scenario("stopped", 20)));
        recorder.finish().unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        Self { folder, path, lines: whole.lines().map(str::to_owned).collect() }
    }

    /// What is made of these lines, the last of which tells how many there are before it.
    fn read(&self, lines: &[String]) -> Result<History, HistoryError> {
        let mut lines = lines.to_vec();
        let before = lines.len() - 1;
        lines[before] = lines[before].replace("\"lines\":6", &format!("\"lines\":{before}"));
        self.read_text(&(lines.join("\n") + "\n"))
    }

    fn read_text(&self, text: &str) -> Result<History, HistoryError> {
        std::fs::write(&self.path, text).unwrap();
        History::read(&self.path)
    }

    /// With something else in one line.
    #[track_caller]
    fn with(&self, from: &str, to: &str) -> HistoryError {
        let whole = self.lines.join("\n");
        assert!(whole.contains(from), "{from}");
        self.read_text(&whole.replacen(from, to, 1)).expect_err(to)
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn header() -> Header {
    let (servers, plan) = (vec!["A".into()], vec!["killed".into(), "stopped".into()]);
    Header { version: VERSION, group: "g".into(), servers, plan, ..Header::default() }
}

#[test]
fn what_is_recorded_is_read_back_with_its_line() {
    let saved = Saved::new("read");
    let history = saved.read(&saved.lines).unwrap();
    assert_eq!(history.header, header());
    assert_eq!(history.ops[1], (3, op("r1", Kind::Set, [3, 5])));
    assert_eq!(history.scenarios[1], (6, scenario("stopped", 20)));
    let end = r#"{"t":"end","lines":6,"ops":{"killed":2,"stopped":1}}"#;
    assert_eq!(saved.lines[6], end);
}

#[test]
fn what_is_no_whole_history_is_refused() {
    let saved = Saved::new("whole");
    assert!(matches!(saved.read_text(""), Err(HistoryError::NoHeader { .. })));
    let no_header = saved.read_text("{\"t\":\"stall\",\"b\":1,\"e\":2}\n");
    assert!(matches!(no_header, Err(HistoryError::NoHeader { .. })));
    let cut = saved.read_text("{\"t\":\"sta");
    assert!(matches!(cut, Err(HistoryError::Line { line: 1, .. })));
    let lines = &saved.lines;
    let without_end = saved.read_text(&lines[..2].join("\n"));
    assert!(matches!(without_end, Err(HistoryError::Cut { lines: 2, .. })));
    let without_one = saved.read_text(&[&lines[..3], &lines[4..]].concat().join("\n"));
    assert!(matches!(without_one, Err(HistoryError::Cut { lines: 5, .. })));
    let back = saved.with("\"b\":1,", "\"b\":3,");
    assert!(matches!(back, HistoryError::Backwards { line: 2, .. }), "{back}");
    let twice = saved.read(&[&lines[..1], &lines[..]].concat());
    assert!(matches!(twice, Err(HistoryError::TwoHeaders { line: 2, .. })));
    let strange = saved.with("\"s\":\"A\"", "\"s\":\"C\"");
    assert!(matches!(strange, HistoryError::UnknownServer { line: 2, .. }), "{strange}");
    for (from, to) in [("\"n\":", "\"more\":1,\"n\":"), ("\"seed\"", "\"x\":1,\"seed\"")] {
        let unknown = saved.with(from, to);
        assert!(matches!(unknown, HistoryError::Line { .. }), "{unknown}");
    }
}

#[test]
fn what_does_not_hold_its_plan_is_refused() {
    let saved = Saved::new("plan");
    let lines = &saved.lines;
    #[track_caller]
    fn refused(read: Result<History, HistoryError>, why: &str) {
        let error = read.expect_err(why);
        let text = error.to_string();
        assert!(matches!(error, HistoryError::Unplanned { .. }) && text.contains(why), "{text}");
    }
    let without = |at: usize| saved.read(&[&lines[..at], &lines[at + 1..]].concat());
    refused(without(2), "'killed' has 1 operations, and the last line says 2");
    refused(without(3), "'stopped' has 0 operations");
    refused(without(5), "'stopped' was not run");
    let twice = [&lines[..5], &lines[4..]].concat();
    refused(saved.read(&twice), "'killed' is there twice");
    let plan = "\"plan\":[\"killed\",\"stopped\"]";
    refused(Err(saved.with(plan, "\"plan\":[]")), "plan is empty");
    refused(Err(saved.with(plan, "\"plan\":[\"killed\"]")), "'stopped' is not in its plan");
    let unread = lines.join("\n").replace("\"k\":\"get\"", "\"k\":\"set\"");
    refused(saved.read_text(&unread), "'killed' nothing was read");
}
