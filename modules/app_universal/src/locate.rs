//! Which servers have a peer: what `LOCATE()` and the switch ask, all prefixes in one round trip.

use univar::{Name, Op};
use universal::{Status, Template, header, settings};

use crate::{
    requests::{Answer, Refusal},
    shared::Current,
};

/// Where a peer is.
pub(crate) struct Located {
    /// The servers that have it, in the order of `prefixes`.
    pub(crate) found: Vec<Found>,
    /// What is known of the others: missing, or unreachable.
    others: Status,
}

/// One server that has it.
pub(crate) struct Found {
    /// What its record says.
    pub(crate) identity: Vec<u8>,
    /// How to call the peer there.
    pub(crate) dial: Vec<u8>,
}

impl Located {
    pub(crate) fn status(&self) -> Status {
        if self.found.is_empty() { self.others } else { Status::Ok }
    }
}

/// Asks for the peer under the prefixes of all `sections` that have some. `template` goes before the
/// sections' own `dial`.
pub(crate) fn locate<'a>(
    current: &'a Current,
    sections: impl IntoIterator<Item = &'a settings::Section>,
    peer: &[u8],
    template: Option<&'a Template>,
) -> Result<Located, Refusal> {
    let mut places = Vec::new();
    for section in sections.into_iter().filter(|section| !section.prefixes.is_empty()) {
        let template = template.or(section.dial.as_ref()).ok_or(Refusal::NoTemplate)?;
        for prefix in &section.prefixes {
            places.push((Name::new([prefix.as_bytes(), peer].concat())?, template));
        }
    }
    if places.is_empty() {
        return Err(Refusal::NoPrefixes);
    }
    if peer.is_empty() {
        return Err(univar::NameError::Empty.into());
    }
    let ops: Vec<_> = places.iter().map(|(name, _)| Op::Get { name }).collect();
    let mut located = Located { found: Vec::new(), others: Status::Missing };
    for ((name, template), outcome) in places.iter().zip(current.store.run(&ops)) {
        match Answer::from_read(outcome).and_then(dialable) {
            Ok(Answer::Value(identity)) => {
                let dial = template.fill(peer, &identity);
                located.found.push(Found { identity, dial });
            }
            Ok(other) => located.others = located.others.max(other.status()),
            // One bad record does not hide the good ones; but it is not "nobody has the phone".
            Err(refusal) => {
                asterisk::warning!("the record {name} cannot be used: {refusal}");
                located.others = Status::Unreachable;
            }
        }
    }
    Ok(located)
}

/// An identity that can stand in a dial string, and cannot add to it.
fn dialable(answer: Answer) -> Result<Answer, Refusal> {
    let is_dialable = |identity: &[u8]| {
        header::is_plain(identity)
            && identity.len() <= settings::MAX_IDENTITY_BYTES
            && !identity.iter().any(|byte| b"&,".contains(byte))
    };
    match &answer {
        Answer::Value(identity) if !is_dialable(identity) => Err(Refusal::NotDialable),
        _ => Ok(answer),
    }
}
