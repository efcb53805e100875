//! Operations on names through one Asterisk server, and their record.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tandem_lab::Asterisk;

use crate::history::{Kind, Op, Outcome, Record, Recorder, Via};
use crate::session::{Message, Session};

/// The context in which [`Via::Dialplan`] finds its applications; [`DIALPLAN`] has it.
pub(crate) const DIALPLAN: &str = "
[cluster]
exten => get,1,GetUniVar(X=${NAME})
 same => n,UserEvent(Cluster,Id: ${ID},Status: ${UNIVARSTATUS},Value: ${X})
exten => set,1,SetUniVar(${NAME}=${VALUE})
 same => n,UserEvent(Cluster,Id: ${ID},Status: ${UNIVARSTATUS})
exten => del,1,DelUniVar(${NAME})
 same => n,UserEvent(Cluster,Id: ${ID},Status: ${UNIVARSTATUS})
";

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) ttl: Option<u64>,
}

impl Order {
    pub(crate) fn get(name: String) -> Self {
        Self { kind: Kind::Get, name, value: None, ttl: None }
    }
}

/// Does what it is told through one server, on one session, and writes it down.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    server: &'a Asterisk,
    recorder: &'a Recorder,
    dialplan: bool,
    session: Option<Session>,
}

/// The number of a dialplan run, so that an event is told from that of another.
static RUNS: AtomicU64 = AtomicU64::new(0);

impl<'a> Client<'a> {
    pub(crate) fn new(server: &'a Asterisk, recorder: &'a Recorder, dialplan: bool) -> Self {
        Self { server, recorder, dialplan, session: None }
    }

    /// Whether there is a session; opens one if need be.
    pub(crate) fn is_ready(&mut self) -> bool {
        if self.session.is_none() {
            let events = if self.dialplan { "user" } else { "off" };
            self.session = Session::open(self.server, events).ok();
        }
        self.session.is_some()
    }

    /// Does it, writes it down, and says what was answered. Nothing is done without a session.
    pub(crate) fn perform(&mut self, order: &Order) -> Option<Outcome> {
        if !self.is_ready() {
            return None;
        }
        let session = self.session.as_mut()?;
        let via = match order.kind {
            Kind::Add | Kind::Inc => Via::Function,
            _ if self.dialplan => Via::Dialplan,
            _ => Via::Ami,
        };
        let begin = self.recorder.now();
        let answer = match via {
            Via::Ami => by_action(session, order),
            Via::Function => by_function(session, order),
            Via::Dialplan => by_dialplan(session, order),
        };
        let end = self.recorder.now();
        let (outcome, read) = answer.unwrap_or((Outcome::Gone, None));
        if outcome == Outcome::Gone {
            self.session = None;
        }
        self.recorder.write(&Record::Op(Op {
            s: self.server.name().to_owned(),
            via,
            k: order.kind,
            n: order.name.clone(),
            v: order.value.clone(),
            ttl: order.ttl,
            b: begin,
            e: end,
            o: outcome,
            r: read,
        }));
        Some(outcome)
    }
}

type Answer = io::Result<(Outcome, Option<String>)>;

fn by_action(session: &mut Session, order: &Order) -> Answer {
    let action = match order.kind {
        Kind::Get => "UniVarGet",
        Kind::Del => "UniVarDel",
        _ => "UniVarSet",
    };
    let ttl = order.ttl.map(|ttl| ttl.to_string());
    let mut headers = vec![("Name", order.name.as_str())];
    headers.extend(order.value.as_deref().map(|value| ("Value", value)));
    headers.extend(ttl.as_deref().map(|ttl| ("TTL", ttl)));
    let answer = session.ask(action, &headers)?;
    if answer.value("Message").contains("unknown command") {
        // The server is just starting, or ending, and has no such action yet, or any more.
        return Ok((Outcome::Gone, None));
    }
    Ok(read(order, &answer))
}

fn by_dialplan(session: &mut Session, order: &Order) -> Answer {
    let extension = match order.kind {
        Kind::Get => "get",
        Kind::Del => "del",
        _ => "set",
    };
    let id = RUNS.fetch_add(1, Ordering::Relaxed).to_string();
    let channel = format!("Local/{extension}@cluster/n");
    let value = order.value.as_deref().unwrap_or_default();
    let variables = format!("NAME={},ID={id},VALUE={value}", order.name);
    session.ask(
        "Originate",
        &[
            ("Channel", &channel),
            ("Application", "Wait"),
            ("Data", "1"),
            ("Async", "true"),
            ("Variable", &variables),
        ],
    )?;
    let told =
        |message: &Message| message.value("UserEvent") == "Cluster" && message.value("Id") == id;
    let event = session.wait(told)?;
    Ok(read(order, &event))
}

/// What an action's answer or an event says.
fn read(order: &Order, answer: &Message) -> (Outcome, Option<String>) {
    let outcome = match answer.value("Status") {
        "OK" => Outcome::Ok,
        "MISSING" => Outcome::Missing,
        "UNREACHABLE" => Outcome::Unreachable,
        _ => Outcome::Invalid,
    };
    let has_value = order.kind == Kind::Get && outcome == Outcome::Ok;
    (outcome, has_value.then(|| answer.value("Value").to_owned()))
}

fn by_function(session: &mut Session, order: &Order) -> Answer {
    let name = &order.name;
    let variable = match (order.kind, order.value.as_deref(), order.ttl) {
        (Kind::Add, Some(value), Some(ttl)) => format!("UNIVAR_ADD({name},{value},{ttl})"),
        (Kind::Add, value, _) => format!("UNIVAR_ADD({name},{})", value.unwrap_or_default()),
        _ => format!("UNIVAR_INC({name})"),
    };
    let answer = session.ask("Getvar", &[("Variable", &variable)])?;
    if answer.value("Response") != "Success" {
        return Ok((Outcome::Invalid, None));
    }
    Ok(match (order.kind, answer.value("Value")) {
        (_, "") => (Outcome::Unreachable, None),
        (Kind::Add, "1") => (Outcome::Ok, None),
        (Kind::Add, "0") => (Outcome::Exists, None),
        (Kind::Inc, number) => (Outcome::Ok, Some(number.to_owned())),
        _ => (Outcome::Invalid, None),
    })
}
