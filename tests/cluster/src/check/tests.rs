//! For each rule a history that keeps it and one that does not, written by hand. Times are in milliseconds.

use super::*;
use crate::history::{
    Down, Header, Outcome, Publisher, Record, Register, Scenario, Trouble, VERSION, Via,
};

const MS: Nanos = 1_000_000;

/// A history that is written down operation by operation.
#[derive(Default)]
pub(super) struct Story {
    history: History,
    line: usize,
}

impl Story {
    pub(super) fn new() -> Self {
        let publisher = |server: &str, identity: &str| Publisher {
            server: server.into(),
            prefix: format!("PEER{server}_"),
            identity: identity.into(),
        };
        let header = Header {
            version: VERSION,
            copies: 2,
            deadline_ms: 50,
            lease_s: 6,
            publishers: vec![publisher("A", "@a/"), publisher("B", "@b/")],
            ..Header::default()
        };
        Self { history: History { header, ..History::default() }, line: 1 }
    }

    pub(super) fn record(mut self, record: Record) -> Self {
        self.line += 1;
        self.history.add(self.line, record);
        self
    }

    fn op(self, k: Kind, n: &str, v: &str, ms: [Nanos; 2], o: Outcome, r: &str) -> Self {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.record(Record::Op(Op {
            s: "A".into(),
            via: Via::Ami,
            k,
            n: n.into(),
            v: some(v),
            ttl: None,
            b: ms[0] * MS,
            e: ms[1] * MS,
            o,
            r: some(r),
        }))
    }

    pub(super) fn set(self, v: &str, ms: [Nanos; 2]) -> Self {
        self.op(Kind::Set, "r", v, ms, Outcome::Ok, "")
    }

    fn unanswered_set(self, v: &str, ms: [Nanos; 2]) -> Self {
        self.op(Kind::Set, "r", v, ms, Outcome::Unreachable, "")
    }

    fn add(self, v: &str, ms: [Nanos; 2], o: Outcome) -> Self {
        self.op(Kind::Add, "r", v, ms, o, "")
    }

    pub(super) fn del(self, ms: [Nanos; 2], o: Outcome) -> Self {
        self.op(Kind::Del, "r", "", ms, o, "")
    }

    pub(super) fn get(self, r: &str, ms: [Nanos; 2]) -> Self {
        let o = if r.is_empty() { Outcome::Missing } else { Outcome::Ok };
        self.op(Kind::Get, "r", "", ms, o, r)
    }

    fn inc(self, r: &str, ms: [Nanos; 2]) -> Self {
        let o = if r.is_empty() { Outcome::Unreachable } else { Outcome::Ok };
        self.op(Kind::Inc, "c", "", ms, o, r)
    }

    fn count(self, r: &str, ms: [Nanos; 2]) -> Self {
        let o = if r.is_empty() { Outcome::Missing } else { Outcome::Ok };
        self.op(Kind::Get, "c", "", ms, o, r)
    }

    fn look_up(self, n: &str, r: &str, ms: [Nanos; 2]) -> Self {
        let o = if r.is_empty() { Outcome::Missing } else { Outcome::Ok };
        self.op(Kind::Get, n, "", ms, o, r)
    }

    fn register(self, expires: u64, ms: [Nanos; 2]) -> Self {
        let (b, e) = (ms[0] * MS, ms[1] * MS);
        self.record(Record::Register(Register {
            s: "A".into(),
            n: "700".into(),
            expires,
            b,
            e,
            ok: true,
        }))
    }

    fn with_ttl(mut self, ttl: u64) -> Self {
        if let Some((_, op)) = self.history.ops.last_mut() {
            op.ttl = Some(ttl);
        }
        self
    }

    fn fault(self, fault: Fault, ms: [Nanos; 2]) -> Self {
        let (begin, end) = (ms[0] * MS, ms[1] * MS);
        self.record(Record::Scenario(Scenario {
            name: "x".into(),
            fault,
            on: "cache1".into(),
            b: 0,
            begin,
            begun: begin,
            end,
            ended: end,
            healed: end,
            e: 1_000_000 * MS,
            told: None,
        }))
    }

    /// The rules that were broken.
    pub(super) fn broken(&self) -> Vec<Rule> {
        check(&self.history).violations.iter().map(|violation| violation.rule).collect()
    }

    fn holds(&self) {
        let report = check(&self.history);
        assert!(report.violations.is_empty(), "{report}");
    }

    #[track_caller]
    fn breaks(&self, rule: Rule, lines: &[usize]) {
        let report = check(&self.history);
        let found: Vec<_> =
            report.violations.iter().map(|found| (found.rule, found.lines.as_slice())).collect();
        assert_eq!(found, [(rule, lines)], "{report}");
    }
}

#[test]
fn a_read_sees_the_last_write_or_one_that_is_under_way() {
    let story = Story::new().set("1", [0, 10]).set("2", [20, 40]).set("3", [60, 70]);
    story.get("1", [22, 30]).get("2", [25, 35]).get("2", [50, 55]).get("3", [80, 90]).holds();
}

#[test]
fn an_acknowledged_write_that_a_later_read_does_not_see_is_lost() {
    let story = Story::new().set("1", [0, 10]).set("2", [20, 30]);
    story.get("1", [40, 50]).breaks(Rule::LostWrite, &[2, 3, 4]);
    let story = Story::new().set("1", [0, 10]);
    story.get("", [20, 30]).breaks(Rule::LostWrite, &[2, 3]);
}

#[test]
fn one_loss_is_told_once_however_often_it_is_read() {
    let story = Story::new().set("1", [0, 10]).set("2", [20, 30]).get("1", [40, 50]);
    story.get("1", [60, 70]).get("1", [80, 90]).breaks(Rule::LostWrite, &[2, 3, 4]);
}

#[test]
fn a_deleted_value_that_comes_back_is_a_lost_delete() {
    let story = Story::new().set("1", [0, 10]).del([20, 30], Outcome::Ok);
    story.get("", [40, 50]).holds();
    let story = Story::new().set("1", [0, 10]).del([20, 30], Outcome::Ok);
    story.get("1", [40, 50]).breaks(Rule::LostDelete, &[2, 3, 4]);
}

#[test]
fn a_delete_that_found_nothing_has_to_be_right() {
    Story::new().del([0, 10], Outcome::Missing).set("1", [5, 20]).holds();
    let story = Story::new().set("1", [0, 10]);
    story.del([20, 30], Outcome::Missing).breaks(Rule::LostWrite, &[2, 3]);
    // But two at once may each have found what the other left.
    let story = Story::new().set("1", [0, 10]).del([20, 30], Outcome::Missing);
    story.del([25, 35], Outcome::Missing).get("", [40, 50]).holds();
    let story = Story::new().set("1", [0, 10]).del([20, 30], Outcome::Missing);
    let story = story.del([25, 35], Outcome::Missing).get("1", [40, 50]);
    assert_eq!(story.broken().len(), 1);
}

#[test]
fn two_reads_during_one_write_may_not_go_back() {
    let story = Story::new().set("1", [0, 10]).set("2", [20, 100]);
    story.get("1", [30, 40]).get("2", [50, 60]).holds();
    let story = Story::new().set("1", [0, 10]).set("2", [20, 100]);
    story.get("2", [30, 40]).get("1", [50, 60]).breaks(Rule::WentBack, &[2, 3, 4, 5]);
}

#[test]
fn a_value_that_nobody_wrote_or_that_is_written_later_is_found() {
    let story = Story::new().set("1", [0, 10]).get("7", [20, 30]);
    story.breaks(Rule::NeverWritten, &[3]);
    let story = Story::new().get("1", [0, 10]).set("1", [20, 30]);
    story.breaks(Rule::NeverWritten, &[3, 2]);
}

#[test]
fn an_unanswered_write_happens_late_or_never_and_not_again() {
    let story = Story::new().set("1", [0, 10]).unanswered_set("2", [20, 30]);
    story.get("1", [40, 50]).get("1", [60, 70]).holds();
    let story = Story::new().set("1", [0, 10]).unanswered_set("2", [20, 30]);
    story.get("1", [40, 50]).get("2", [60, 70]).holds();
    let story = Story::new().set("1", [0, 10]).unanswered_set("2", [20, 30]);
    story.get("2", [40, 50]).get("1", [60, 70]).breaks(Rule::WentBack, &[2, 3, 4, 5]);
}

#[test]
fn an_unanswered_write_does_not_undo_one_that_began_after_its_end() {
    let story = Story::new().unanswered_set("1", [0, 10]).set("2", [20, 30]).get("1", [40, 50]);
    story.breaks(Rule::LostWrite, &[2, 3, 4]);
    // But for the only copy on a cache that was stopped: it carries out what it had accepted.
    let story = Story::new().unanswered_set("1", [0, 10]).set("2", [20, 30]).get("1", [40, 50]);
    let mut story = story.fault(Fault::Stopped, [0, 35]);
    story.breaks(Rule::LostWrite, &[2, 3, 4]);
    story.history.header.copies = 1;
    story.holds();
}

#[test]
fn an_unanswered_delete_explains_one_miss_and_no_second_one() {
    let story = Story::new().set("1", [0, 10]).del([20, 30], Outcome::Unreachable);
    story.get("1", [40, 50]).get("", [60, 70]).holds();
    let story = Story::new().set("1", [0, 10]).del([20, 30], Outcome::Unreachable);
    let story = story.get("", [40, 50]).set("2", [60, 70]).get("", [80, 90]);
    assert_eq!(story.broken().len(), 1);
    // Two of them may explain two misses if they were under way.
    let story = Story::new().set("1", [0, 10]).del([20, 75], Outcome::Unreachable);
    let story = story.del([25, 75], Outcome::Unreachable).get("", [40, 50]);
    story.set("2", [60, 70]).get("", [80, 90]).holds();
}

#[test]
fn what_no_pair_of_operations_shows_is_found_too() {
    // One delete has to be before 10 and after 30.
    let story = Story::new().set("1", [0, 5]).del([6, 100], Outcome::Ok).get("", [8, 20]);
    let story = story.set("2", [25, 30]).get("", [110, 120]);
    let report = check(&story.history);
    assert_eq!(report.violations.len(), 1, "{report}");
    assert_eq!(report.violations[0].lines.last(), Some(&6));
}

#[test]
fn a_value_may_go_when_its_time_is_over_and_not_before_and_must_not_stay() {
    let story = Story::new().set("1", [0, 10]).with_ttl(3);
    story.get("1", [1900, 1950]).get("", [3100, 3200]).holds();
    let story = Story::new().set("1", [0, 10]).with_ttl(4).get("", [900, 990]);
    assert_eq!(story.broken(), [Rule::NoOrder]);
    let story = Story::new().set("1", [0, 10]).with_ttl(3).get("1", [5100, 5110]);
    story.breaks(Rule::Outlived, &[2, 3]);
    let story = Story::new().set("1", [0, 10]).with_ttl(3).get("", [3100, 3200]);
    assert_eq!(story.get("1", [3300, 3400]).broken(), [Rule::NoOrder]);
}

#[test]
fn what_the_only_copy_of_a_stopped_cache_carries_out_late_may_be_there_again_for_its_time() {
    let story = || {
        let story = Story::new().set("1", [1000, 1010]).with_ttl(3).get("", [5000, 5010]);
        let mut story = story.fault(Fault::Stopped, [500, 8000]);
        story.history.header.copies = 1;
        story
    };
    story().get("1", [9000, 9010]).get("", [13_000, 13_010]).holds();
    story().get("1", [14_100, 14_110]).breaks(Rule::Outlived, &[2, 5]);
    let mut story = story().get("1", [9000, 9010]);
    story.history.header.copies = 2;
    assert_eq!(story.broken(), [Rule::Outlived, Rule::NoOrder]);
    let story = Story::new().set("1", [1000, 1010]).with_ttl(3).get("", [5000, 5010]);
    assert_eq!(story.get("1", [6000, 6005]).broken(), [Rule::NoOrder]);
}

#[test]
fn a_lock_is_given_once_until_it_is_deleted() {
    let story = Story::new().add("1", [0, 10], Outcome::Ok).add("2", [5, 20], Outcome::Exists);
    story.del([30, 40], Outcome::Ok).add("3", [50, 60], Outcome::Ok).holds();
    let story = Story::new().add("1", [0, 20], Outcome::Ok).add("2", [10, 30], Outcome::Ok);
    story.breaks(Rule::AddedTwice, &[2, 3]);
    let story = Story::new().add("1", [0, 10], Outcome::Exists);
    assert_eq!(story.broken(), [Rule::NoOrder]);
    // One that was not answered may be what the other found.
    let story = Story::new().add("1", [0, 10], Outcome::Unreachable);
    story.add("2", [20, 30], Outcome::Exists).holds();
}

#[test]
fn a_counter_counts_each_answered_increment_once() {
    let story = Story::new().inc("1", [0, 10]).inc("", [20, 30]).inc("3", [40, 50]);
    story.count("3", [60, 70]).holds();
    let story = Story::new().inc("1", [0, 10]).inc("1", [5, 15]);
    story.breaks(Rule::Counter, &[2, 3]);
    // But for the moments in which some know of a fault and others do not.
    let story = Story::new().inc("1", [1000, 1010]).inc("1", [1005, 1015]).inc("3", [1020, 1030]);
    story.count("3", [1040, 1050]).fault(Fault::Slow, [900, 9000]).holds();
    let story = Story::new().inc("2", [0, 20]).inc("1", [0, 25]).inc("3", [10, 30]);
    story.count("2", [40, 50]).breaks_any(Rule::Counter);
    Story::new().inc("2", [0, 10]).breaks(Rule::Counter, &[2]);
    Story::new().inc("1", [0, 10]).count("", [20, 30]).breaks(Rule::Counter, &[2, 3]);
    let story = Story::new().inc("", [0, 10]).inc("2", [20, 30]).inc("1", [40, 50]);
    story.breaks_any(Rule::Counter);
}

impl Story {
    #[track_caller]
    fn breaks_any(&self, rule: Rule) {
        let broken = self.broken();
        assert!(!broken.is_empty() && broken.iter().all(|found| *found == rule), "{broken:?}");
    }
}

#[test]
fn a_registered_phone_is_found_and_gone_within_lease_and_grace_of_its_end() {
    let story = Story::new().register(20, [0, 10]).look_up("PEERA_700", "@a/", [5000, 5010]);
    let story = story.register(20, [15_000, 15_010]).look_up("PEERA_700", "@a/", [30_000, 30_010]);
    let story = story.register(0, [31_000, 31_010]).look_up("PEERA_700", "", [31_100, 31_110]);
    let story = story.look_up("PEERA_700", "@a/", [38_900, 39_000]);
    story.look_up("PEERB_700", "", [5000, 5010]).holds();
}

#[test]
fn a_registered_phone_that_is_missing_is_found() {
    let story = Story::new().register(20, [0, 10]);
    story.look_up("PEERA_700", "", [1500, 1510]).breaks(Rule::PhoneMissing, &[3]);
    let story = Story::new().register(20, [0, 10]).register(20, [15_000, 15_010]);
    story.look_up("PEERA_700", "", [20_500, 20_510]).breaks(Rule::PhoneMissing, &[4]);
    // Not before it could be there, and not when its server has crashed.
    let story = Story::new().register(20, [0, 10]);
    story.look_up("PEERA_700", "", [900, 910]).holds();
    let down = Down { s: "A".into(), b: 1000 * MS, e: 2000 * MS };
    let story = Story::new().register(20, [0, 10]).record(Record::Down(down));
    story.look_up("PEERA_700", "", [1500, 1510]).holds();
}

#[test]
fn a_record_of_a_phone_that_is_elsewhere_or_long_gone_is_found() {
    let story = Story::new().register(20, [0, 10]);
    story.look_up("PEERA_700", "@b/", [1500, 1510]).breaks(Rule::PhoneGhost, &[3]);
    let story = Story::new().register(20, [0, 10]);
    story.look_up("PEERB_700", "@b/", [1500, 1510]).breaks(Rule::PhoneGhost, &[3]);
    let story = Story::new().register(20, [0, 10]).register(0, [1000, 1010]);
    story.look_up("PEERA_700", "@a/", [9020, 9030]).breaks(Rule::PhoneGhost, &[4]);
    let story = Story::new().register(20, [0, 10]);
    story.look_up("PEERA_700", "@a/", [28_020, 28_030]).breaks(Rule::PhoneGhost, &[3]);
}

#[test]
fn unanswered_long_after_a_fault_began_is_unavailable_and_near_it_or_when_busy_it_is_not() {
    let unanswered = |ms: [Nanos; 2]| {
        let story = Story::new().fault(Fault::Killed, [1000, 9000]);
        story.op(Kind::Get, "r", "", ms, Outcome::Unreachable, "")
    };
    unanswered([1500, 1550]).holds();
    unanswered([9500, 9550]).holds();
    unanswered([4000, 4050]).breaks(Rule::Unavailable, &[3]);
    let stall = Stall { b: 3950 * MS, e: 4000 * MS };
    unanswered([4000, 4050]).record(Record::Stall(stall)).holds();
    let look_up = Story::new().fault(Fault::Killed, [1000, 9000]);
    look_up.op(Kind::Get, "PEERA_1", "", [4000, 4050], Outcome::Unreachable, "").holds();
}

#[test]
fn a_machine_that_was_busy_all_the_time_decides_nothing() {
    let stall = |ms: [Nanos; 2]| Record::Stall(Stall { b: ms[0] * MS, e: ms[1] * MS });
    let story = || {
        let story = Story::new().fault(Fault::Killed, [1000, 9000]);
        story.op(Kind::Get, "r", "", [4000, 4050], Outcome::Unreachable, "")
    };
    story().record(stall([0, 950_000])).breaks(Rule::Undecided, &[2]);
    story().record(stall([3000, 4000])).record(stall([3500, 4500])).holds();
}

#[test]
fn what_is_lost_while_two_caches_have_trouble_is_excused_and_told() {
    let trouble = |cache: &str, ms: [Nanos; 2]| {
        let (s, c) = ("A".to_owned(), cache.to_owned());
        Record::Trouble(Trouble { s, c, b: ms[0] * MS, e: ms[1] * MS })
    };
    let lost = || Story::new().set("1", [0, 10]).set("2", [5000, 5010]).get("1", [9000, 9010]);
    let story = lost().record(trouble("one", [4000, 6000])).record(trouble("two", [5500, 7000]));
    story.holds();
    assert_eq!(check(&story.history).excused.len(), 1);
    // One after the other is no excuse, nor is one alone, nor what was before.
    let story = lost().record(trouble("one", [4500, 5000])).record(trouble("two", [6500, 7000]));
    story.breaks(Rule::LostWrite, &[2, 3, 4]);
    let story = lost().record(trouble("one", [4000, 6000])).record(trouble("one", [5500, 7000]));
    story.breaks(Rule::LostWrite, &[2, 3, 4]);
    let story = Story::new().set("1", [20_000, 20_010]).get("", [29_000, 29_010]);
    let story = story.record(trouble("one", [0, 1000])).record(trouble("two", [0, 1000]));
    story.breaks(Rule::LostWrite, &[2, 3]);
    // What was never written is wrong whatever happens.
    let story = Story::new().set("1", [0, 10]).get("7", [20, 30]);
    let story = story.record(trouble("one", [0, 100])).record(trouble("two", [0, 100]));
    story.breaks(Rule::NeverWritten, &[3]);
}

#[test]
fn where_all_caches_lose_everything_names_are_gone_once_and_phones_are_not_missing() {
    let story = || Story::new().fault(Fault::AllEmptied, [1000, 1500]).set("1", [0, 10]);
    story().get("", [6000, 6010]).set("2", [7000, 7010]).get("2", [8000, 8010]).holds();
    story().get("", [6000, 6010]).get("1", [7000, 7010]).breaks_any(Rule::NoOrder);
    story().set("2", [7000, 7010]).get("", [8000, 8010]).breaks(Rule::LostWrite, &[4, 5]);
    let unanswered = story().op(Kind::Get, "r", "", [2000, 2010], Outcome::Unreachable, "");
    unanswered.holds();
    let story = Story::new().fault(Fault::AllEmptied, [2000, 2500]).register(20, [0, 10]);
    story.look_up("PEERA_700", "", [3000, 3010]).breaks(Rule::PhoneMissing, &[4]);
}

#[test]
fn invalid_is_never_right() {
    let story = Story::new().op(Kind::Get, "r", "", [0, 1], Outcome::Invalid, "");
    story.breaks(Rule::Invalid, &[2]);
}

#[test]
fn a_fault_that_the_operator_has_to_know_of_is_told() {
    let mut story = Story::new().fault(Fault::Evicting, [1000, 9000]);
    story.history.scenarios[0].1.told = Some(true);
    story.holds();
    story.history.scenarios[0].1.told = Some(false);
    story.breaks(Rule::NotTold, &[2]);
}

#[test]
fn under_a_partition_old_values_are_fine_and_losses_are_not() {
    let partition = || Story::new().fault(Fault::Partition, [1000, 9000]).set("1", [0, 10]);
    let story = partition().set("2", [2000, 2010]).get("1", [3000, 3010]);
    story.get("2", [19_500, 19_510]).get("2", [19_600, 19_610]).holds();
    partition().get("", [3000, 3010]).breaks(Rule::LostWrite, &[3, 4]);
    partition().get("9", [3000, 3010]).breaks(Rule::NeverWritten, &[4]);
    let story = partition().set("2", [2000, 2010]).get("2", [19_500, 19_510]);
    story.get("1", [19_600, 19_610]).breaks(Rule::NotConverged, &[5, 6]);
    let story = partition().set("2", [2000, 2010]).get("1", [19_500, 19_510]);
    story.breaks(Rule::NotConverged, &[4, 5]);
    let story = partition().set("2", [2000, 2010]).del([3000, 3010], Outcome::Ok);
    story.get("2", [19_500, 19_510]).breaks(Rule::NotConverged, &[5, 6]);
    let story = partition().set("2", [2000, 2010]).del([3000, 3010], Outcome::Ok);
    story.get("", [19_500, 19_510]).holds();
}

#[test]
fn two_hundred_thousand_operations_are_checked_in_seconds() {
    let mut story = Story::new();
    for at in 0..100_000_u64 {
        let (name, value) = (format!("r{}", at % 100), at.to_string());
        let from = at * 2;
        story = story.op(Kind::Set, &name, &value, [from, from + 300], Outcome::Ok, "");
        story = story.op(Kind::Get, &name, "", [from + 301, from + 302], Outcome::Ok, &value);
    }
    let begun = std::time::Instant::now();
    let report = check(&story.history);
    assert!(report.violations.is_empty(), "{report}");
    assert!(begun.elapsed().as_secs() < 30, "a debug build takes a few seconds");
    assert_eq!(report.operations, 200_000);
}
