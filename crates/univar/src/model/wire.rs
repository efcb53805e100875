//! What a node says to a cache server and back: one batch at a time on a connection, whose commands
//! are carried out one by one, among those of others. This is the shell that `lane` is in the
//! product.

use super::script::FaultKind;
use super::world::{Event, World};
use super::{MS, Us};
use crate::server::Trouble;

/// A batch under way. Its connection is one from the pool, or a new one.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) node: usize,
    pub(crate) server: usize,
    pub(crate) user: User,
    commands: Vec<Vec<u8>>,
    /// What was answered so far.
    pub(crate) heard: Vec<u8>,
    replies: usize,
    /// The life of the cache server that it is connected to, once that is known.
    life: Option<u32>,
    /// Until when the cache server is busy with what was said before on this connection.
    busy_until: Us,
    may_be_stale: bool,
    pub(crate) attempt: u32,
    pub(crate) is_open: bool,
    pub(crate) succeeded: bool,
}

/// Whose batch it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum User {
    Run { run: usize, at: usize },
    Probe { node: usize, server: usize },
}

/// One command under way to the cache server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) lane: usize,
    attempt: u32,
    index: usize,
}

/// Which connection to take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Connection {
    /// From the pool, if there is one.
    Pooled,
    /// The one that this lane had.
    Of(usize),
}

impl World {
    /// Sends a batch; the lane.
    pub(crate) fn talk(
        &mut self,
        (node, server): (usize, usize),
        user: User,
        batch: &[u8],
        connection: Connection,
    ) -> usize {
        let (life, may_be_stale) = match connection {
            Connection::Pooled => {
                let pooled = self.nodes[node].pools[server];
                (pooled, pooled.is_some())
            }
            Connection::Of(lane) => (self.lanes[lane].life, false),
        };
        self.lanes.push(Lane {
            node,
            server,
            user,
            commands: commands_in(batch),
            heard: Vec::new(),
            replies: 0,
            life,
            busy_until: 0,
            may_be_stale,
            attempt: 0,
            is_open: true,
            succeeded: false,
        });
        let lane = self.lanes.len() - 1;
        self.send(lane);
        lane
    }

    fn send(&mut self, lane: usize) {
        let mut at = self.now + self.latency();
        if self.lanes[lane].life.is_none() {
            // Connecting is a round trip of its own.
            at += self.latency() + self.latency();
        }
        let attempt = self.lanes[lane].attempt;
        for index in 0..self.lanes[lane].commands.len() {
            self.at(at, Event::Arrive(Message { lane, attempt, index }));
            at += match self.random(15) {
                0 => self.random(MS),
                _ => 1 + self.random(30),
            };
        }
    }

    pub(crate) fn arrive(&mut self, message: Message) {
        let Message { lane, attempt, .. } = message;
        let Lane { node, server, life, .. } = self.lanes[lane];
        if self.suffers(node, server, &[FaultKind::Cut]) || attempt != self.lanes[lane].attempt {
            return;
        }
        let host = &mut self.hosts[server];
        if !host.up || life.is_some_and(|life| life != host.life) {
            let wait = self.latency();
            return self.after(wait, Event::Break { lane, attempt });
        }
        self.lanes[lane].life = Some(host.life);
        if self.suffers(node, server, &[FaultKind::Hung]) {
            return self.hosts[server].stuck.push(message);
        }
        let at = match self.slowness(server) {
            // What waits when it becomes quick again is done then.
            Some((by, to)) => (self.now + by).min(to.max(self.now) + lane as Us % (5 * MS)),
            None => self.now,
        };
        match at.max(self.lanes[lane].busy_until) {
            at if at > self.now => self.execute_later(message, at),
            _ => self.execute(message),
        }
    }

    /// All on one connection: what is said first is done first.
    pub(crate) fn execute_later(&mut self, message: Message, at: Us) {
        let lane = &mut self.lanes[message.lane];
        lane.busy_until = at.max(lane.busy_until + 1);
        let at = lane.busy_until;
        self.at(at, Event::Execute(message));
    }

    /// The cache server does it, whether anybody still waits or not.
    pub(crate) fn execute(&mut self, message: Message) {
        let Message { lane, attempt, index } = message;
        let Lane { node, server, life, .. } = self.lanes[lane];
        let is_full = self.suffers(node, server, &[FaultKind::Full]) && self.random(4) > 0;
        let host = &mut self.hosts[server];
        if !host.up || life != Some(host.life) {
            return;
        }
        let command = &self.lanes[lane].commands[index];
        let refused = is_full.then(|| host.cache.refuse(command)).flatten();
        let bytes = refused.unwrap_or_else(|| host.cache.run(self.now, command));
        if self.suffers(node, server, &[FaultKind::Mute, FaultKind::MuteToOne, FaultKind::Cut]) {
            return;
        }
        // All on one connection: what is said first comes first.
        let wait = 60 + lane as Us % 300;
        self.after(wait, Event::Reply { lane, attempt, bytes });
    }

    pub(crate) fn reply(&mut self, id: usize, attempt: u32, bytes: &[u8]) {
        let lane = &mut self.lanes[id];
        if !lane.is_open || lane.attempt != attempt {
            return;
        }
        lane.may_be_stale = false;
        lane.heard.extend_from_slice(bytes);
        lane.replies += 1;
        if lane.replies == lane.commands.len() {
            (lane.is_open, lane.succeeded) = (false, true);
            self.nodes[lane.node].pools[lane.server] = lane.life;
            self.over(id);
        }
    }

    /// The connection is gone.
    pub(crate) fn break_off(&mut self, id: usize, attempt: u32) {
        let lane = &mut self.lanes[id];
        if !lane.is_open || lane.attempt != attempt {
            return;
        }
        if !lane.may_be_stale {
            return self.fail(id, Trouble::Closed);
        }
        // It may have been so before we asked: then this is no news, but that it was replaced.
        (lane.may_be_stale, lane.life) = (false, None);
        lane.attempt += 1;
        let (node, server, user) = (lane.node, lane.server, lane.user);
        self.nodes[node].pools[server] = None;
        let alarm = self.nodes[node].servers[server].owe();
        if alarm && matches!(user, User::Run { .. }) {
            self.wake(node);
        }
        self.send(id);
    }

    pub(crate) fn fail(&mut self, id: usize, trouble: Trouble) {
        let lane = &mut self.lanes[id];
        if !lane.is_open {
            return;
        }
        lane.is_open = false;
        let (node, user) = (lane.node, lane.user);
        let server = &self.nodes[node].servers[lane.server];
        let alarm = server.failed(trouble);
        if !server.is_up() {
            self.nodes[node].pools[lane.server] = None;
        }
        if alarm && matches!(user, User::Run { .. }) {
            self.wake(node);
        }
        self.over(id);
    }

    fn over(&mut self, id: usize) {
        match self.lanes[id].user {
            User::Run { run, .. } => self.part_over(run),
            User::Probe { node, server } => self.probe_answered(node, server, id),
        }
    }
}

fn commands_in(mut batch: &[u8]) -> Vec<Vec<u8>> {
    let mut commands = Vec::new();
    while let Some((_, len)) = memcache_proto::Request::decode(batch).unwrap() {
        commands.push(batch[..len].to_vec());
        batch = &batch[len..];
    }
    assert!(batch.is_empty(), "whole commands");
    commands
}
