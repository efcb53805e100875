//! Running tasks over their copies' servers, round by round.
//!
//! In each round every server gets one batch with what all tasks want of it, all servers at once;
//! then the tasks decide. So a read of two copies takes one round trip's waiting, however many
//! names there are.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::batch::{Answer, Batch};
use crate::clock::Clock;
use crate::lane::{Lane, drive};
use crate::server::Server;
use crate::task::{COPIES_MAX, Task};

/// A task, and where it runs.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) task: Task<'a>,
    /// The servers that have its copies, in the ring's order.
    pub(crate) servers: [&'a Server; COPIES_MAX],
    /// How long it may take. Jobs of different limits do not wait for each other's servers.
    pub(crate) limit: Duration,
}

/// Who waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// A thread that is not ours: for each job's own limit, and only for servers that are quick.
    Brisk,
    /// A thread of ours, until then.
    Patient(Instant),
}

impl Pace {
    /// When a job that began at `start` ends.
    pub(crate) fn end(self, start: Instant, limit: Duration) -> Instant {
        match self {
            Self::Brisk => start + limit,
            Self::Patient(end) => end,
        }
    }
}

/// What one server gets of a round.
struct Share<'j> {
    server: &'j Server,
    limit: Duration,
    /// There are other copies: who waits for this one shall have time left to go on without it.
    has_rivals: bool,
    /// More may follow, whether this one answers or not.
    leaves_time: bool,
    batch: Batch<'j>,
    /// Whose each command is: the job and its copy.
    turns: Vec<(usize, usize)>,
    gets: u64,
    sets: u64,
}

/// Runs all jobs, which began at `start`, to their end. Says whether the I/O thread should look at the servers.
pub(crate) fn run(jobs: &mut [Job<'_>], pace: Pace, start: Instant, clock: &Clock) -> bool {
    let mut alarm = false;
    let mut now = Instant::now();
    while jobs.iter().any(|job| !job.task.is_over()) {
        alarm |= round(jobs, pace, (start, now), clock);
        if jobs.iter().any(|job| !job.task.is_over()) {
            now = Instant::now();
        }
    }
    for job in &*jobs {
        for (at, server) in job.servers[..job.task.copies()].iter().enumerate() {
            if job.task.owes(at) {
                alarm |= server.owe();
            }
            if job.task.refused(at) {
                server.refused(job.task.name());
            }
            if job.task.damaged(at) {
                server.damaged(job.task.name());
            }
        }
    }
    alarm
}

/// One round: asks, waits, and lets the tasks decide.
fn round(
    jobs: &mut [Job<'_>],
    pace: Pace,
    (start, now): (Instant, Instant),
    clock: &Clock,
) -> bool {
    for job in &mut *jobs {
        // Too late to ask: no server is to blame for that.
        let is_late = now >= pace.end(start, job.limit);
        let servers = &job.servers[..job.task.copies()];
        // A slow one is better than none.
        let some_quick = servers.iter().any(|server| server.is_quick());
        for (at, server) in servers.iter().enumerate() {
            let worth_asking = match pace {
                Pace::Brisk if some_quick => server.is_quick(),
                Pace::Brisk | Pace::Patient(_) => server.is_up(),
            };
            if is_late || !worth_asking {
                job.task.is_silent(at);
            }
        }
    }
    let (answers, alarm) = ask(jobs, pace, (start, now));
    for (turns, answers) in answers {
        for ((job, at), answer) in turns.into_iter().zip(answers) {
            jobs[job].task.hear(at, answer);
        }
    }
    for job in jobs.iter_mut().filter(|job| !job.task.is_over()) {
        job.task.end_round(clock);
    }
    alarm
}

type Heard = Vec<(Vec<(usize, usize)>, Vec<Answer>)>;

fn ask(jobs: &[Job<'_>], pace: Pace, (start, now): (Instant, Instant)) -> (Heard, bool) {
    let mut shares: Vec<Share<'_>> = Vec::with_capacity(COPIES_MAX);
    let unix_now_s = unix_now_s();
    for (index, job) in jobs.iter().enumerate() {
        for at in 0..job.task.copies() {
            for command in job.task.commands(at) {
                let (server, limit) = (job.servers[at], job.limit);
                let same =
                    |share: &Share<'_>| share.limit == limit && std::ptr::eq(share.server, server);
                let found = shares.iter().position(same).unwrap_or_else(|| {
                    let batch = Batch::new(unix_now_s, server.known_epoch());
                    shares.push(Share {
                        server,
                        limit,
                        has_rivals: false,
                        leaves_time: false,
                        batch,
                        turns: Vec::new(),
                        gets: 0,
                        sets: 0,
                    });
                    shares.len() - 1
                });
                let share = &mut shares[found];
                share.has_rivals |= job.task.copies() > 1;
                share.leaves_time |= job.task.leaves_time(at);
                share.batch.push(command);
                share.turns.push((index, at));
                if command.verb.is_read() { share.gets += 1 } else { share.sets += 1 }
            }
        }
    }
    let mut turns = Vec::with_capacity(shares.len());
    let mut lanes = Vec::with_capacity(shares.len());
    for share in shares {
        share.server.count(share.gets, share.sets);
        turns.push(share.turns);
        // With copies: half of what is left, so that there is as much again for what follows.
        let parts = if share.has_rivals { 2 } else { 1 };
        let end = pace.end(start, share.limit);
        let hurried = end - end.saturating_duration_since(now) / parts * (parts - 1);
        let end = if share.leaves_time { hurried } else { end };
        let lane = match pace {
            Pace::Brisk => Lane::brisk(share.server, share.batch, end, share.limit / parts),
            Pace::Patient(_) => Lane::patient(share.server, share.batch, end),
        };
        lanes.push(lane.hurried_to(hurried));
    }
    drive(&mut lanes);
    let alarm = lanes.iter().fold(false, |alarm, lane| {
        if let Some(text) = lane.talk.complaint() {
            lane.server.complained(text);
        }
        let strange = lane.talk.marker().is_some_and(|marker| lane.server.saw(marker));
        alarm | lane.alarm | strange
    });
    let answers = lanes.into_iter().map(|lane| lane.talk.into_answers());
    (turns.into_iter().zip(answers).collect(), alarm)
}

pub(crate) fn unix_now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
