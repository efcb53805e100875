//! Registrations: a phone that is registered on a live node is found from every server, and one that is not is
//! gone within its lease.

use super::{Context, Rule, Violation};
use crate::history::{Down, Fault, Nanos, Op, Outcome, Register, SECOND};

/// How long after the answer to a phone's first REGISTER its record may still be missing.
const PUBLISHED_WITHIN: Nanos = SECOND;
/// After the lease, a record is gone within this.
const GRACE: Nanos = 2 * SECOND;

/// When a phone was registered.
#[derive(Debug, Default)]
struct Registered {
    /// Certainly, in between.
    certain: Vec<(Nanos, Nanos)>,
    /// Not outside of these; they overlap.
    possible: Vec<(Nanos, Nanos)>,
}

/// Checks the look-ups of one phone's record.
pub(crate) fn check(
    context: &Context<'_>,
    name: &str,
    ops: &[(usize, &Op)],
    found: &mut Vec<Violation>,
) {
    let Some((index, phone)) = context.phone_of(name) else { return };
    let publisher = &context.history.header.publishers[index];
    let mut registers: Vec<&Register> = context
        .history
        .registers
        .iter()
        .map(|(_, register)| register)
        .filter(|register| register.n == phone && register.s == publisher.server)
        .collect();
    registers.sort_by_key(|register| register.b);
    let downs: Vec<&Down> =
        context.history.downs.iter().filter(|down| down.s == publisher.server).collect();
    let registered = registered(&registers, &downs);
    let lease = context.history.header.lease_s * SECOND;
    for &(line, op) in ops {
        let told = |rule, text: String| Violation { rule, at: op.e, lines: vec![line], text };
        match op.o {
            Outcome::Ok => {
                let value = op.r.as_deref().unwrap_or_default();
                let lately = op.b.saturating_sub(lease + GRACE);
                let was = |&(from, to): &(Nanos, Nanos)| from <= op.e && to >= lately;
                if value != publisher.identity {
                    let text = format!("{name} is {value}, where it was not registered");
                    found.push(told(Rule::PhoneGhost, text));
                } else if !registered.possible.iter().any(was) {
                    let text = format!("{name} is still there, long after the registration");
                    found.push(told(Rule::PhoneGhost, text));
                }
            }
            Outcome::Missing => {
                let is =
                    |&(from, to): &(Nanos, Nanos)| from + PUBLISHED_WITHIN <= op.b && to >= op.e;
                if registered.certain.iter().any(is) && !cut_off(context, op) {
                    let text = format!("{name} is missing, and the phone is registered");
                    found.push(told(Rule::PhoneMissing, text));
                }
            }
            _ => {}
        }
    }
}

/// Under a partition the other side's renewals are not seen: that is the price of a lease.
fn cut_off(context: &Context<'_>, op: &Op) -> bool {
    context.history.scenarios.iter().any(|(_, scenario)| {
        scenario.fault == Fault::Partition && op.e >= scenario.begin && op.b <= scenario.healed
    })
}

fn registered(registers: &[&Register], downs: &[&Down]) -> Registered {
    let mut all = Registered::default();
    let mut now: Option<(Nanos, Nanos)> = None;
    for (at, register) in registers.iter().enumerate() {
        let expires = register.expires * SECOND;
        if let Some((from, until)) = now {
            // A server that went away forgets, or restores, what was registered.
            if let Some(down) = downs.iter().find(|down| down.b > from && down.b <= register.e) {
                all.certain.push((from, until.min(down.b)));
                now = None;
            }
        }
        if register.expires == 0 {
            if let Some((from, until)) = now.take() {
                all.certain.push((from, until.min(register.b)));
            }
            continue;
        }
        let taken_back = registers[at..].iter().find(|later| later.expires == 0 && later.ok);
        let last = taken_back.map_or(Nanos::MAX, |later| later.e);
        all.possible.push((register.b, last.min(register.e + expires)));
        if !register.ok {
            continue;
        }
        let until = register.b + expires;
        now = match now {
            Some((from, to)) if register.e <= to => Some((from, until)),
            Some(ended) => {
                all.certain.push(ended);
                Some((register.e, until))
            }
            None => Some((register.e, until)),
        };
    }
    all.certain.extend(now.map(|(from, until)| {
        let down = downs.iter().find(|down| down.b > from);
        (from, down.map_or(until, |down| until.min(down.b)))
    }));
    all
}
