//! What app_universal knows, asked through its CLI on the control socket. For workers: it waits.

use std::time::Duration;

use serde::Serialize;

use crate::control::ControlError;
use crate::shared::Shared;

/// The module's file.
pub(crate) const MODULE: &str = "app_universal.so";
/// How long its answer may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How long its answer may be.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// The width of the names in `univar show`.
const NAME_WIDTH: usize = 40;

/// A peer that is registered here, and how its record stands.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Registration {
    peer: String,
    variable: String,
    state: String,
    contacts: Option<u64>,
    expires_seconds: Option<u64>,
    renewed_seconds: Option<u64>,
    /// Why it is not published.
    why: String,
}

/// Universal variables, and what the module says of those that are not there.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Variables {
    variables: Vec<Variable>,
    notes: Vec<String>,
}

/// One of them.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Variable {
    name: String,
    value: String,
}

/// What is registered here and published.
pub(crate) fn registrations(shared: &Shared) -> Result<Vec<Registration>, ControlError> {
    let output = shared.ask("universal show registrations", MOST_BYTES, WITHIN)?;
    Ok(parse_registrations(&output))
}

/// The variables whose names begin with `prefix`, which is a name ([`is_prefix`]).
pub(crate) fn variables(shared: &Shared, prefix: &str) -> Result<Variables, ControlError> {
    let command =
        if prefix.is_empty() { "univar show".into() } else { format!("univar show {prefix}") };
    Ok(parse_variables(&shared.ask(&command, MOST_BYTES, WITHIN)?))
}

/// Whether it can stand in a command as one word and nothing else.
pub(crate) fn is_prefix(text: &str) -> bool {
    const MOST_BYTES: usize = 250;
    text.len() <= MOST_BYTES
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\;".contains(&byte))
}

fn parse_registrations(output: &str) -> Vec<Registration> {
    let rows = output.lines().skip_while(|line| !line.starts_with("Peer ")).skip(1);
    rows.filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let mut word = || words.next().map(str::to_owned);
        let (peer, variable, state) = (word()?, word()?, word()?);
        let mut number = || words.next()?.parse().ok();
        let (contacts, expires_seconds, renewed_seconds) = (number(), number(), number());
        // The last line says how many there are.
        contacts?;
        let why = words.collect::<Vec<_>>().join(" ");
        Some(Registration {
            peer,
            variable,
            state,
            contacts,
            expires_seconds,
            renewed_seconds,
            why,
        })
    })
    .collect()
}

fn parse_variables(output: &str) -> Variables {
    let mut found = Variables::default();
    for line in output.lines().filter(|line| !line.is_empty()) {
        // Names are padded, and have no blanks. What the module says has them.
        let name_end = line.find(' ').unwrap_or(line.len());
        let value_at = NAME_WIDTH.max(name_end) + 1;
        let is_padded = line.get(name_end..value_at.saturating_sub(1));
        match (is_padded.map(|pad| pad.trim().is_empty()), line.get(value_at..)) {
            (Some(true), Some(value)) => {
                let (name, value) = (line[..name_end].to_owned(), value.to_owned());
                found.variables.push(Variable { name, value });
            }
            _ => found.notes.push(line.to_owned()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_are_read_as_app_universal_prints_them() {
        let output = format!(
            "{:<24} {:<32} {:<14} {:>8} {:>8} {:>8}\n{:<24} {:<32} {:<14} {:>8} {:>8} {:>8}\n\
             {:<24} {:<32} {:<14} {:>8} {:>8} {:>8}  too long\n2 registration(s)\n",
            "Peer",
            "Variable",
            "State",
            "Contacts",
            "Expires",
            "Renewed",
            "PJSIP/200",
            "PEERA_200",
            "published",
            1,
            55,
            20,
            "IAX2/a-name-that-is-wider-than-its-column",
            "PEERA_x",
            "unpublishable",
            2,
            "-",
            "-",
        );
        let found = parse_registrations(&output);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (&*found[0].peer, found[0].contacts, found[0].expires_seconds),
            ("PJSIP/200", Some(1), Some(55))
        );
        assert_eq!((found[1].expires_seconds, &*found[1].why), (None, "too long"));
    }

    #[test]
    fn variables_are_read_as_app_universal_prints_them() {
        let output = format!(
            "{:<40} {}\n{:<40} {}\n{:<40} {}\n3 universal variable(s)\nThere are more; give a longer PREFIX\n",
            "PEERA_200",
            "serverA",
            "EMPTY",
            "",
            "a-name-that-is-wider-than-the-forty-columns-it-has",
            "x  y",
        );
        let found = parse_variables(&output);
        let pairs: Vec<_> =
            found.variables.iter().map(|one| (one.name.as_str(), one.value.as_str())).collect();
        let wide = "a-name-that-is-wider-than-the-forty-columns-it-has";
        assert_eq!(pairs, [("PEERA_200", "serverA"), ("EMPTY", ""), (wide, "x  y")]);
        assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
    }

    #[test]
    fn a_prefix_is_one_word_of_a_command() {
        assert!(is_prefix("") && is_prefix("PEER_") && is_prefix("a.b-c/d"));
        for bad in ["a b", "a\"", "a\\", "a;b", "a\n", "ä"] {
            assert!(!is_prefix(bad), "{bad:?}");
        }
    }
}
