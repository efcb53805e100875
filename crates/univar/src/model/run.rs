//! Operations under way: real tasks over simulated lanes, round by round, with the product's
//! deadlines. This is the shell that `rounds` and `store` are in the product.

use std::sync::OnceLock;
use std::time::Duration;

use super::history::Done;
use super::node::Node;
use super::script::{CLASSES, Class, Step, What};
use super::wire::{Connection, User};
use super::world::{Event, World};
use super::{DEADLINE, MS, Off, S, Us};
use crate::batch::{Answer, Batch};
use crate::count::VIEW_BITS;
use crate::epoch::EpochId;
use crate::server::Trouble;
use crate::talk::Talk;
use crate::task::{Keeping, Task};
use crate::{Name, Op, Outcome, clock, switch_off};

/// How long healing waits for an answer.
const MEND_LIMIT: Us = S;
/// The lease of a registration's record.
const LEASE: Duration = Duration::from_secs(5);

/// One operation, or one name that is mended.
#[derive(Debug)]
pub(crate) struct Run {
    task: Option<Task<'static>>,
    node: usize,
    /// The servers of its copies, in the ring's order.
    places: [usize; 2],
    end: Us,
    purpose: Purpose,
    round: u32,
    lanes: [Option<usize>; 2],
    /// The epoch that was known when each was asked.
    known: [Option<EpochId>; 2],
}

#[derive(Debug)]
enum Purpose {
    Op(Done),
    Mend,
}

impl World {
    pub(crate) fn step(&mut self, step: Step) {
        let Step { node, name, mut what, .. } = step;
        if self.only_reads {
            what = What::Get;
        }
        if !self.nodes[node].is_up {
            return;
        }
        let value = match what {
            What::Take { who } | What::Keep { who } | What::Withdraw { who } => who as i64,
            _ => 1000 + self.history.ops.len() as i64 + self.runs.len() as i64,
        };
        self.look_at_its_end(name, what);
        let text: &'static [u8] = text_of(value);
        let name_text = &fixed().names[name];
        let ttl = |ttl_s: Option<u64>| ttl_s.map(Duration::from_secs);
        let op = match what {
            What::Get => Op::Get { name: name_text },
            What::Life => Op::Life { name: name_text },
            What::Set { ttl_s } => Op::Set { name: name_text, value: text, ttl: ttl(ttl_s) },
            What::Delete => Op::Delete { name: name_text },
            What::Touch { ttl_s } => Op::Touch { name: name_text, ttl: ttl(ttl_s) },
            What::Add { ttl_s } => Op::Add { name: name_text, value: text, ttl: ttl(ttl_s) },
            What::Increment => Op::Increment { name: name_text, by: 1, ttl: None },
            What::Take { .. } => Op::Take { name: name_text, value: text, ttl: LEASE },
            What::Keep { .. } => Op::Keep { name: name_text, value: text, ttl: LEASE },
            What::Withdraw { .. } => Op::Withdraw { name: name_text, value: text },
        };
        let (start, outcome) = (self.now, Outcome::Unreachable);
        let done = Done { node, name, what, value, start, end: start, outcome, died: false };
        self.enter(node, false);
        let task = Task::new(op, &fixed().keepings[node], &self.nodes[node].clock);
        // Each call is a writer of its own.
        let task = match what {
            What::Increment => task.counting_as((value as u64) << VIEW_BITS),
            _ => task,
        };
        self.start(task, node, start + DEADLINE, Purpose::Op(done));
    }

    /// What will end is looked at when it does.
    fn look_at_its_end(&mut self, name: usize, what: What) {
        let ttl_s = match what {
            What::Set { ttl_s } | What::Touch { ttl_s } | What::Add { ttl_s } => ttl_s,
            What::Take { .. } | What::Keep { .. } => Some(LEASE.as_secs()),
            _ => None,
        };
        let Some(ttl_s) = ttl_s else { return };
        for _ in 0..2 {
            let node = self.random(self.nodes.len() as u64) as usize;
            let after = ttl_s * S - 1500 * MS + self.random(3 * S);
            self.read_later(after, node, name);
        }
    }

    pub(crate) fn mend(&mut self, node: usize, name: usize) {
        self.enter(node, true);
        let clock = &self.nodes[node].clock;
        let task = Task::mend(&fixed().names[name], &fixed().keepings[node], clock);
        self.start(task, node, self.now + MEND_LIMIT, Purpose::Mend);
    }

    fn start(&mut self, task: Task<'static>, node: usize, end: Us, purpose: Purpose) {
        let name = fixed().names.iter().position(|name| name == task.name()).unwrap();
        let places = self.places(name);
        let (lanes, known) = ([None; 2], [None; 2]);
        self.runs.push(Run {
            task: Some(task),
            node,
            places,
            end,
            purpose,
            round: 0,
            lanes,
            known,
        });
        let run = self.runs.len() - 1;
        self.after(1, Event::Round { run });
    }

    /// The servers of a name's copies, in the ring's order.
    pub(crate) fn places(&self, name: usize) -> [usize; 2] {
        let count = self.hosts.len();
        [name % count, (name + 1) % count]
    }

    pub(crate) fn begin_round(&mut self, id: usize) {
        let run = &mut self.runs[id];
        let Some(mut task) = run.task.take() else { return };
        run.round += 1;
        run.lanes = [None; 2];
        let (node, places, round, end) = (run.node, run.places, run.round, run.end);
        let brisk = matches!(run.purpose, Purpose::Op(_));
        let mut batches = [const { Vec::new() }; 2];
        let mut ends = end;
        for at in 0..2 {
            let server = &self.nodes[node].servers[places[at]];
            let worth_asking = if brisk { server.is_quick() } else { server.is_up() };
            if self.now >= end || !worth_asking {
                task.is_silent(at);
            }
            self.runs[id].known[at] = server.known_epoch();
            batch_of(&task, at, self.runs[id].known[at]).ask(&mut batches[at]);
            if task.leaves_time(at) {
                ends = hurried(self.now, end);
            }
        }
        self.runs[id].task = Some(task);
        for (at, batch) in batches.iter().enumerate().filter(|(_, batch)| !batch.is_empty()) {
            let user = User::Run { run: id, at };
            let lane = self.talk((node, places[at]), user, batch, Connection::Pooled);
            self.runs[id].lanes[at] = Some(lane);
        }
        if self.runs[id].lanes == [None; 2] {
            return self.end_round(id);
        }
        self.at(ends, Event::Deadline { run: id, round });
        self.at(hurried(self.now, end), Event::Hurry { run: id, round });
    }

    /// A lane of it is over.
    pub(crate) fn part_over(&mut self, id: usize) {
        if self.open_lanes(id).is_empty() {
            self.end_round(id);
        }
    }

    fn open_lanes(&self, id: usize) -> Vec<usize> {
        let lanes = self.runs[id].lanes.iter().flatten().copied();
        lanes.filter(|&lane| self.lanes[lane].is_open).collect()
    }

    /// Half of what was left is over: who has one answer does not wait for the other.
    pub(crate) fn hurry(&mut self, id: usize, round: u32) {
        let run = &self.runs[id];
        if run.round != round || run.task.is_none() {
            return;
        }
        let succeeded = run.lanes.iter().flatten().any(|&lane| self.lanes[lane].succeeded);
        match succeeded {
            true => self.time_out(id, round),
            // The first answer that still comes is the last that is waited for.
            false if self.now < run.end => self.after(200, Event::Hurry { run: id, round }),
            false => {}
        }
    }

    pub(crate) fn time_out(&mut self, id: usize, round: u32) {
        if self.runs[id].round != round || self.runs[id].task.is_none() {
            return;
        }
        for lane in self.open_lanes(id) {
            self.fail(lane, Trouble::TimedOut);
        }
    }

    fn end_round(&mut self, id: usize) {
        let Some(mut task) = self.runs[id].task.take() else { return };
        let Run { node, places, lanes, known, .. } = self.runs[id];
        self.enter(node, matches!(self.runs[id].purpose, Purpose::Mend));
        let mut alarm = false;
        for at in 0..2 {
            let Some(lane) = lanes[at] else { continue };
            let (answers, marker) = hear(&task, at, known[at], &self.lanes[lane].heard);
            alarm |= marker.is_some_and(|seen| self.nodes[node].servers[places[at]].saw(seen));
            answers.into_iter().for_each(|answer| task.hear(at, answer));
        }
        if !task.is_over() {
            task.end_round(&self.nodes[node].clock);
        }
        if alarm {
            self.wake(node);
        }
        if task.is_over() {
            return self.finish(id, task);
        }
        self.runs[id].task = Some(task);
        let wait = if self.random(25) == 0 { self.random(5 * MS) } else { self.random(40) };
        self.after(wait, Event::Round { run: id });
    }

    fn finish(&mut self, id: usize, task: Task<'static>) {
        let Run { node, places, .. } = self.runs[id];
        let mut alarm = false;
        for (at, place) in places.into_iter().enumerate() {
            if task.owes(at) {
                alarm |= self.nodes[node].servers[place].owe();
            }
        }
        if alarm {
            self.wake(node);
        }
        let outcome = task.into_outcome();
        match std::mem::replace(&mut self.runs[id].purpose, Purpose::Mend) {
            Purpose::Op(done) => self.history.ops.push(Done { end: self.now, outcome, ..done }),
            Purpose::Mend => self.mended(node, outcome == Outcome::Done),
        }
    }

    /// What it was doing nobody will answer; what it has sent may arrive.
    pub(crate) fn node_dies(&mut self, node: usize) {
        self.nodes[node].die();
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].node == node && self.lanes[lane].is_open {
                self.lanes[lane].is_open = false;
                self.lanes[lane].attempt += self.random(2) as u32;
            }
        }
        for run in self.runs.iter_mut().filter(|run| run.node == node) {
            let Some(_) = run.task.take() else { continue };
            if let Purpose::Op(done) = std::mem::replace(&mut run.purpose, Purpose::Mend) {
                self.history.ops.push(Done { end: self.now, died: true, ..done });
            }
        }
    }

    /// What follows happens at this node: by its clock, and without the rule that is switched off.
    pub(crate) fn enter(&self, node: usize, mends: bool) {
        let Node { skew_ms, .. } = self.nodes[node];
        clock::set_unix_now_ms((1_700_000_000_000 + self.now / MS).wrapping_add_signed(skew_ms));
        switch_off::set(match self.off {
            Off::WriteBack if mends => None,
            off => off.rule(),
        });
    }
}

/// When who has one answer waits no more for the other.
fn hurried(now: Us, end: Us) -> Us {
    now + end.saturating_sub(now).div_ceil(2)
}

/// The batch of this round; made again to hear its answers, for it borrows from the task.
fn batch_of<'t>(task: &'t Task<'static>, at: usize, known: Option<EpochId>) -> Batch<'t> {
    let mut batch = Batch::new(0, known);
    task.commands(at).for_each(|command| batch.push(command));
    batch
}

fn hear(
    task: &Task<'static>,
    at: usize,
    known: Option<EpochId>,
    heard: &[u8],
) -> (Vec<Answer>, Option<crate::epoch::Marker>) {
    let mut batch = batch_of(task, at, known);
    batch.ask(&mut Vec::new());
    let took = batch.hear(heard, std::time::Instant::now());
    assert!(
        took.is_ok(),
        "{took:?}: {:?} is answered {:?}",
        task,
        heard.escape_ascii().to_string()
    );
    let marker = batch.marker();
    (batch.into_answers(), marker)
}

struct Fixed {
    names: Vec<Name>,
    keepings: Vec<Keeping>,
    values: Vec<Box<[u8]>>,
}

/// What all histories share, for tasks borrow it.
fn fixed() -> &'static Fixed {
    static FIXED: OnceLock<Fixed> = OnceLock::new();
    FIXED.get_or_init(|| {
        let letter = |class: &Class| match class {
            Class::Variable => "variable",
            Class::Lock => "lock",
            Class::Counter => "counter",
            Class::Record => "record",
        };
        let names = CLASSES.iter().enumerate();
        let keeping = |node| Keeping {
            copies: 2,
            secret: None,
            owner: format!("node{node}").into_bytes().into(),
        };
        Fixed {
            names: names
                .map(|(at, class)| Name::new(format!("{}{at}", letter(class))).unwrap())
                .collect(),
            keepings: (0..super::script::NODES).map(keeping).collect(),
            values: (0..20_000).map(|n: i64| n.to_string().into_bytes().into()).collect(),
        }
    })
}

fn text_of(value: i64) -> &'static [u8] {
    &fixed().values[value as usize]
}

pub(crate) fn name_of(key: &[u8]) -> Option<usize> {
    fixed().names.iter().position(|name| name.as_bytes() == key)
}
