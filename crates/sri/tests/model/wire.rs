//! What a node says to a cache server and what comes of it: batches with a deadline, the look and
//! the guarded write of a claim, the marker. This is the shell that `univar` is in the product;
//! here single rules of it can be switched off.

use std::time::Duration;

use sri::{Claim, Kind, Outcome};
use univar::epoch::{Action, EpochId, Marker};

use super::cache::{Command, Guard, MARKER, Reply};
use super::history::{Answer, ClaimDone, What};
use super::node::{self, cache_of};
use super::script::FaultKind;
use super::world::{Event, World};
use super::{MS, Off, S, Us, WITHIN_DEADLINE};

/// How often a claim looks again when somebody wrote between looking and writing.
const ROUNDS_MAX: u32 = 3;
const PROBE_INTERVAL: Us = 500 * MS;

#[derive(Clone, Debug)]
pub(crate) struct Message {
    node: usize,
    life: u32,
    cache: usize,
    task: u64,
    step: u32,
    index: usize,
    claim: Option<Kind>,
    command: Command,
}

#[derive(Debug)]
pub(crate) struct Task {
    node: usize,
    life: u32,
    cache: usize,
    job: Job,
    step: u32,
    replies: Vec<Option<Reply>>,
}

#[derive(Clone, Debug)]
enum Job {
    Claim(ClaimJob),
    Probe(Probe),
    Read { op: usize },
    Write { op: usize },
}

#[derive(Clone, Debug)]
struct ClaimJob {
    claim: Claim,
    /// What is done; with a rule switched off, not what the claim says.
    kind: Kind,
    looked: bool,
    rounds: u32,
    /// For which content this node had published when the claim was sent.
    published: Option<EpochId>,
}

#[derive(Clone, Copy, Debug)]
enum Probe {
    Look,
    Added,
    LookAgain,
    Finished,
}

impl World {
    // Sending and arriving.

    fn open(&mut self, node: usize, cache: usize, job: Job, commands: Vec<Command>) {
        self.sequence_task += 1;
        let (id, life) = (self.sequence_task, self.nodes[node].life);
        self.tasks.insert(id, Task { node, life, cache, job, step: 0, replies: Vec::new() });
        self.after(WITHIN_DEADLINE, Event::Deadline { task: id });
        self.send(id, commands);
    }

    /// Sends a batch on one connection: the commands arrive in order, one after the other.
    fn send(&mut self, id: u64, commands: Vec<Command>) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.step += 1;
        task.replies = vec![None; commands.len()];
        let claim = match &task.job {
            Job::Claim(job) => Some(job.kind),
            _ => None,
        };
        let (node, life, cache, step) = (task.node, task.life, task.cache, task.step);
        if self.hindered(&[FaultKind::CutOne, FaultKind::CutAll], node, cache) {
            return;
        }
        let mut at = self.now + MS / 20 + self.random(8 * MS);
        for (index, command) in commands.into_iter().enumerate() {
            let message = Message { node, life, cache, task: id, step, index, claim, command };
            self.at(at, Event::Arrive(message));
            at += self.random(2 * MS);
        }
    }

    pub(crate) fn arrive(&mut self, message: Message) {
        let (node, cache, task) = (message.node, message.cache, message.task);
        if self.hindered(&[FaultKind::CacheCrash, FaultKind::Reboot], node, cache) {
            return self.after(MS, Event::Deadline { task });
        }
        if self.hindered(&[FaultKind::Freeze], node, cache) {
            return self.stuck[cache].push(message);
        }
        let cut = [FaultKind::CutOne, FaultKind::CutAll];
        if self.hindered(&cut, node, cache) {
            return;
        }
        let (reply, change) = self.caches[cache].run(self.now, &message.command);
        if let (Some(kind), Some(change)) = (message.claim, change) {
            self.history.claims.push(ClaimDone { at: self.now, node, cache, kind, change });
        }
        if self.hindered(&[FaultKind::AnswersLost], node, cache) {
            return;
        }
        if self.nodes[node].life == message.life {
            let wait = MS / 20 + self.random(8 * MS);
            let (step, index) = (message.step, message.index);
            self.after(wait, Event::Answer { task, step, index, reply });
        }
    }

    pub(crate) fn answered(&mut self, id: u64, step: u32, index: usize, reply: Reply) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if task.step != step {
            return;
        }
        task.replies[index] = Some(reply);
        if task.replies.iter().any(Option::is_none) {
            return;
        }
        let replies: Vec<_> = task.replies.drain(..).flatten().collect();
        let (node, cache, job) = (task.node, task.cache, task.job.clone());
        if self.nodes[node].life != task.life {
            self.tasks.remove(&id);
            return;
        }
        match job {
            Job::Claim(job) => self.claim_answered(id, node, job, &replies),
            Job::Probe(probe) => self.probe_answered(id, (node, cache), probe, &replies),
            Job::Read { op } => {
                self.tasks.remove(&id);
                let answer = self.judge(&replies);
                (self.history.ops[op].end, self.history.ops[op].answer) = (self.now, answer);
            }
            Job::Write { op } => {
                self.tasks.remove(&id);
                (self.history.ops[op].end, self.history.ops[op].answer) = (self.now, Answer::Done);
            }
        }
    }

    /// No answer in time, or a broken connection.
    pub(crate) fn fail(&mut self, id: u64) {
        let Some(task) = self.tasks.remove(&id) else { return };
        if self.nodes[task.node].life != task.life {
            return;
        }
        match task.job {
            Job::Claim(job) => {
                self.claim_ended(task.node, &job.claim, job.kind, Outcome::Unreachable);
            }
            Job::Probe(_) => {
                let link = &mut self.nodes[task.node].links[task.cache];
                link.watch.contact_lost();
                link.published = None;
            }
            Job::Read { op } => self.history.ops[op].end = self.now,
            Job::Write { op } => {
                self.history.ops[op].end = self.now;
                if self.off == Off::WritesEndInTime {
                    self.write_late(op, task.cache);
                }
            }
        }
    }

    // Reads and writes of the dialplan.

    pub(crate) fn ask(&mut self, node: usize, op: usize) {
        let (key, cache) = (self.history.ops[op].key.clone(), self.history.ops[op].cache);
        let reads = self.history.ops[op].what == What::Read;
        if reads && self.off == Off::ReadsAsk && self.remembers(op) {
            return;
        }
        let commands = match &self.history.ops[op].what {
            What::Locate | What::Read => {
                let mut batch = vec![get(&key), get(MARKER)];
                if self.off == Off::MarkerLast {
                    batch.reverse();
                }
                return self.open(node, cache, Job::Read { op }, batch);
            }
            What::Write { .. } | What::Delete => vec![self.write_command(op)],
        };
        self.open(node, cache, Job::Write { op }, commands);
    }

    /// Answers from what this node read within the last second.
    fn remembers(&mut self, op: usize) -> bool {
        let (earlier, this) = self.history.ops.split_at_mut(op);
        let this = &mut this[0];
        let known = earlier.iter().rev().take_while(|o| o.start + S > this.start).find(|o| {
            o.node == this.node && o.key == this.key && matches!(o.answer, Answer::Value(_))
        });
        if let Some(known) = known {
            (this.answer, this.end) = (known.answer.clone(), this.start);
        }
        known.is_some()
    }

    fn write_command(&self, op: usize) -> Command {
        let op = &self.history.ops[op];
        let (key, guard) = (op.key.clone(), Guard::Free);
        match &op.what {
            What::Write { value, ttl_s } => {
                Command::Set { key, value: value.clone(), ttl_s: *ttl_s, guard }
            }
            _ => Command::Delete { key, guard },
        }
    }

    /// A client that sends a write again after it has given up: nobody may.
    fn write_late(&mut self, op: usize, cache: usize) {
        let (command, node) = (self.write_command(op), self.history.ops[op].node);
        let life = self.nodes[node].life;
        let message =
            Message { node, life, cache, task: 0, step: 0, index: 0, claim: None, command };
        self.after(S, Event::Arrive(message));
    }

    fn judge(&self, replies: &[Reply]) -> Answer {
        let (value, marker) = if self.off == Off::MarkerLast { (1, 0) } else { (0, 1) };
        match replies[value].found() {
            Some((value, _)) => Answer::Value(value.to_owned()),
            None if marker_of(&replies[marker]).a_miss_counts() => Answer::Missing,
            None if self.off == Off::Marker => Answer::Missing,
            None => Answer::Unreachable,
        }
    }

    // Claims.

    pub(crate) fn carry_out(&mut self, node: usize, claim: Claim) {
        let key = text(&claim.key);
        let untold = self.nodes[node].untold.contains(&key);
        let kind = match claim.kind {
            Kind::Keep if self.off == Off::Renewal => {
                return self.claim_ended(node, &claim, Kind::Keep, Outcome::Done);
            }
            Kind::Keep if self.off == Off::KeepYields => Kind::Take,
            Kind::Keep if self.off == Off::TakesGrowStale && untold => Kind::Take,
            kind => kind,
        };
        let mut claim = claim;
        if self.off == Off::Lease {
            claim.ttl = Duration::from_secs(600);
        }
        let cache = cache_of(&key);
        let mut looked = true;
        let commands = match kind {
            Kind::Take => vec![write(&claim, Guard::Free)],
            Kind::Withdraw if self.off == Off::WithdrawLooks => {
                vec![Command::Delete { key, guard: Guard::Free }]
            }
            Kind::Keep | Kind::Withdraw => {
                looked = false;
                vec![get(&key), get(MARKER)]
            }
        };
        let published = self.nodes[node].links[cache].published;
        let job = ClaimJob { claim, kind, looked, rounds: 0, published };
        self.open(node, cache, Job::Claim(job), commands);
    }

    fn claim_answered(&mut self, id: u64, node: usize, mut job: ClaimJob, replies: &[Reply]) {
        let next = if job.looked {
            match replies[0] {
                Reply::Refused if job.rounds + 1 < ROUNDS_MAX => {
                    job.rounds += 1;
                    Next::Send(vec![get(&text(&job.claim.key)), get(MARKER)])
                }
                Reply::Refused => Next::End(Outcome::Unreachable),
                _ => Next::End(Outcome::Done),
            }
        } else {
            // What is absent is added only to content for which this node had published before:
            // else a node that a phone has left could be the first after a loss.
            let marker = marker_of(&replies[1]).id();
            let fills =
                self.off == Off::GapsNeedTheMarker || marker.is_some() && marker == job.published;
            decide(&job.claim, job.kind, &replies[0], fills)
        };
        match next {
            Next::Send(commands) => {
                job.looked = !job.looked;
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.job = Job::Claim(job);
                }
                self.send(id, commands);
            }
            Next::End(outcome) => {
                self.tasks.remove(&id);
                self.claim_ended(node, &job.claim, job.kind, outcome);
            }
        }
    }

    fn claim_ended(&mut self, id: usize, claim: &Claim, kind: Kind, outcome: Outcome) {
        let now = self.instant();
        let node = &mut self.nodes[id];
        if outcome == Outcome::Unreachable && kind == Kind::Take {
            node.untold.insert(text(&claim.key));
        } else {
            node.untold.remove(&text(&claim.key));
        }
        let outcome = match outcome {
            Outcome::Foreign if self.off == Off::StandingBack => Outcome::Done,
            outcome => outcome,
        };
        node.registrar.done(now, claim.id, outcome);
        self.wake(id);
    }

    // The marker.

    pub(crate) fn probe(&mut self, node: usize, life: u32, cache: usize) {
        if self.nodes[node].life == life {
            self.open(node, cache, Job::Probe(Probe::Look), vec![get(MARKER)]);
            self.after(PROBE_INTERVAL, Event::Probe { node, life, cache });
        }
    }

    fn probe_answered(
        &mut self,
        id: u64,
        (node, cache): (usize, usize),
        probe: Probe,
        replies: &[Reply],
    ) {
        let action = match probe {
            Probe::Look | Probe::LookAgain => self.observe(node, cache, marker_of(&replies[0])),
            Probe::Added => Action::Nothing,
            Probe::Finished => Action::Nothing,
        };
        let (next, command) = match (probe, action) {
            (Probe::Look, Action::Begin) => {
                let text = Marker::healing_text(EpochId::new(self.random(u64::MAX)));
                (Probe::Added, mark(text, Guard::Absent))
            }
            (Probe::Look, Action::Finish(epoch)) => {
                let cas = replies[0].found().map_or(0, |(_, cas)| cas);
                (Probe::Finished, mark(Marker::ready_text(epoch), Guard::Cas(cas)))
            }
            (Probe::Added, _) => (Probe::LookAgain, get(MARKER)),
            _ => {
                self.tasks.remove(&id);
                return;
            }
        };
        if let Some(task) = self.tasks.get_mut(&id) {
            task.job = Job::Probe(next);
        }
        self.send(id, vec![command]);
    }

    fn observe(&mut self, id: usize, cache: usize, marker: Marker) -> Action {
        let (now, off) = (self.instant(), self.off);
        let link = &mut self.nodes[id].links[cache];
        let seen = link.watch.observe(now, marker);
        let first_meeting = !std::mem::replace(&mut link.met, true);
        let news = seen.publish || link.published.is_none();
        link.published = marker.id();
        if news && marker.id().is_some() && !(first_meeting && marker.a_miss_counts()) {
            self.nodes[id].publish(id, now, cache, off, &self.script);
            self.wake(id);
        }
        seen.action
    }
}

enum Next {
    Send(Vec<Command>),
    End(Outcome),
}

/// What a Keep or a Withdraw does after its look.
fn decide(claim: &Claim, kind: Kind, found: &Reply, fills: bool) -> Next {
    let cas = found.found().map(|(value, cas)| (value == text(&claim.value), cas));
    match (kind, cas) {
        (Kind::Withdraw, Some((true, cas))) => {
            let (key, guard) = (text(&claim.key), Guard::Cas(cas));
            Next::Send(vec![Command::Delete { key, guard }])
        }
        (Kind::Withdraw, None) => Next::End(Outcome::Done),
        (_, Some((true, cas))) => Next::Send(vec![write(claim, Guard::Cas(cas))]),
        (_, Some((false, _))) => Next::End(Outcome::Foreign),
        (_, None) if fills => Next::Send(vec![write(claim, Guard::Absent)]),
        (_, None) => Next::End(Outcome::Unreachable),
    }
}

fn get(key: &str) -> Command {
    Command::Get { key: key.to_owned() }
}

fn write(claim: &Claim, guard: Guard) -> Command {
    let ttl_s = Some(claim.ttl.as_secs());
    Command::Set { key: text(&claim.key), value: text(&claim.value), ttl_s, guard }
}

fn mark(value: String, guard: Guard) -> Command {
    Command::Set { key: MARKER.to_owned(), value, ttl_s: None, guard }
}

fn marker_of(reply: &Reply) -> Marker {
    reply.found().map_or(Marker::Absent, |(value, _)| Marker::parse(value.as_bytes()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the model's keys and values are text")
}

/// The node that an identity names.
pub(crate) fn node_of(value: &str, nodes: usize) -> Option<usize> {
    (0..nodes).find(|&n| node::identity(n) == value)
}
