//! Phones and dialplans: who registers, refreshes and leaves, and who reads and writes variables.

use sri::How;

use super::history::{Answer, Ended, Op, Register, What};
use super::node::{self, cache_of};
use super::script::{PHONES, PhoneAct};
use super::world::{Event, World};
use super::{MS, Off, S, Us, WITHIN_DEADLINE};

const CONTACT: &str = "sip:phone@127.0.0.1";
const VARIABLES: [&str; 3] = ["one", "two", "three"];

#[derive(Clone, Debug, Default)]
pub(crate) struct Phone {
    /// Where it refreshes.
    nodes: Vec<usize>,
    /// Counts its changes of mind; refreshes of an earlier turn do not happen.
    turn: u32,
}

impl World {
    pub(crate) fn act(&mut self, act: PhoneAct) {
        let (PhoneAct::Move { phone, .. }
        | PhoneAct::Also { phone, .. }
        | PhoneAct::Leave { phone }
        | PhoneAct::Vanish { phone }) = act;
        match act {
            PhoneAct::Move { node, expires_s, farewell, .. } => {
                self.phones[phone].turn += 1;
                let turn = self.phones[phone].turn;
                let left = std::mem::replace(&mut self.phones[phone].nodes, vec![node]);
                self.register(phone, node, expires_s, turn);
                for old in left.into_iter().filter(|&old| farewell && old != node) {
                    self.unregister(phone, old, true);
                }
            }
            PhoneAct::Also { node, expires_s, .. } => {
                let turn = self.phones[phone].turn;
                if !self.phones[phone].nodes.contains(&node) {
                    self.phones[phone].nodes.push(node);
                    self.register(phone, node, expires_s, turn);
                }
            }
            PhoneAct::Leave { .. } => {
                self.phones[phone].turn += 1;
                for node in std::mem::take(&mut self.phones[phone].nodes) {
                    self.unregister(phone, node, true);
                }
            }
            PhoneAct::Vanish { .. } => {
                self.phones[phone].turn += 1;
                self.phones[phone].nodes.clear();
            }
        }
    }

    pub(crate) fn register(&mut self, phone: usize, id: usize, expires_s: u64, turn: u32) {
        if self.phones[phone].turn != turn {
            return;
        }
        if !self.nodes[id].up {
            return self.after(2 * S, Event::Register { phone, node: id, expires_s, turn });
        }
        let (now, at, end) = (self.instant(), self.now, self.now + expires_s * S);
        let expires = Some(self.instant_at(end));
        let node = &mut self.nodes[id];
        node.astdb.insert(phone, end);
        let endpoint = phone.to_string();
        node.registrar.registered(now, "PJSIP", &endpoint, CONTACT, expires, How::Register);
        let key = node::key(&self.script, id, phone);
        self.history.open_stay(&key, id, at, false);
        self.history.registers.push(Register { key, node: id, at, expires_s });
        self.at(end, Event::Expire { node: id, phone, end });
        let refresh = expires_s * S * (40 + self.random(50)) / 100;
        self.after(refresh, Event::Register { phone, node: id, expires_s, turn });
        self.wake(id);
    }

    fn unregister(&mut self, phone: usize, id: usize, told: bool) {
        if !self.nodes[id].up {
            return;
        }
        let now = self.instant();
        self.nodes[id].astdb.remove(&phone);
        if told {
            let endpoint = phone.to_string();
            self.nodes[id].registrar.unregistered(now, "PJSIP", &endpoint, CONTACT);
        }
        let key = node::key(&self.script, id, phone);
        self.history.close_stay(&key, id, self.now, Ended::ByPhone);
        self.wake(id);
    }

    /// A registration's time is over, unless it was refreshed. Some drivers say so.
    pub(crate) fn expire(&mut self, id: usize, phone: usize, end: Us) {
        if self.nodes[id].up && self.nodes[id].astdb.get(&phone) == Some(&end) {
            let told = self.random(10) < 7;
            self.unregister(phone, id, told);
        }
    }

    /// Asterisk reads its AstDB after a start.
    pub(crate) fn restore(&mut self, id: usize) {
        let (now, at, off) = (self.instant(), self.now, self.off);
        self.nodes[id].astdb.retain(|_, end| *end > at);
        let how = if off == Off::RestoredKeeps { How::Register } else { How::Restored };
        for (phone, end) in self.nodes[id].astdb.clone() {
            let (endpoint, expires) = (phone.to_string(), Some(self.instant_at(end)));
            let registrar = &mut self.nodes[id].registrar;
            registrar.registered(now, "PJSIP", &endpoint, CONTACT, expires, how);
            let key = node::key(&self.script, id, phone);
            self.history.open_stay(&key, id, at, true);
            self.at(end, Event::Expire { node: id, phone, end });
        }
    }

    /// Somebody's dialplan does something, and somebody's will again soon.
    pub(crate) fn client(&mut self) {
        let next = MS + self.random(160 * MS);
        self.after(next, Event::Client);
        let Some(node) = self.some_node() else { return };
        let choice = self.random(100);
        if choice < 70 {
            return self.locate();
        }
        let key = VARIABLES[self.random(VARIABLES.len() as u64) as usize];
        let ttl_s = (self.random(4) == 0).then_some(5);
        let what = match choice {
            70..90 => What::Read,
            90..97 => What::Write { value: format!("value{}", self.history.ops.len()), ttl_s },
            _ => What::Delete,
        };
        self.begin(node, key.to_owned(), what);
    }

    /// Somebody calls a phone.
    pub(crate) fn locate(&mut self) {
        let Some(node) = self.some_node() else { return };
        let phone = self.random(PHONES as u64) as usize;
        let owner = self.random(self.script.nodes as u64) as usize;
        let key = node::key(&self.script, owner, phone);
        self.begin(node, key, What::Locate);
    }

    fn begin(&mut self, node: usize, key: String, what: What) {
        let (start, cache) = (self.now, cache_of(&key));
        let (end, answer) = (start + WITHIN_DEADLINE, Answer::Unreachable);
        self.history.ops.push(Op { key, cache, node, what, start, end, answer });
        self.ask(node, self.history.ops.len() - 1);
    }

    fn some_node(&mut self) -> Option<usize> {
        let up: Vec<_> = (0..self.nodes.len()).filter(|n| self.nodes[*n].up).collect();
        let pick = self.random(up.len() as u64) as usize;
        up.get(pick).copied()
    }
}
