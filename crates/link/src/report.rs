//! What an agent tells.

use ami_proto::{Failure, OwnedMessage};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::message;

/// What happened at the server.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "report")]
pub enum Report {
    /// A session with Asterisk has begun: whatever was known may have changed.
    Up {
        /// AMI's version, from its greeting.
        ami_version: String,
    },
    /// There is none, and why; another is tried. Told for each attempt that fails.
    Down {
        /// In words, with the cure.
        why: String,
    },
    /// How busy the agent's machine is, every now and then.
    Host {
        /// The load of the last minute, in thousandths (proc_loadavg(5)).
        load_milli: u32,
        /// Its processors: a load of as many is all that they can do.
        cpus: u32,
    },
    /// An event of Asterisk's.
    Event {
        /// It.
        #[serde(with = "message")]
        message: OwnedMessage,
    },
    /// What came of an [`crate::Ask`]. Each ends with one [`Answer::Done`], [`Answer::Failed`] or
    /// [`Answer::Refused`], but for those that were under way when the connection ended.
    Answer {
        /// Its id.
        id: u64,
        /// What came.
        #[serde(flatten)]
        answer: Answer,
    },
}

/// What came of a request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Answer {
    /// An item of a list; more follows.
    Item {
        /// It.
        #[serde(with = "message")]
        message: OwnedMessage,
    },
    /// The answer, or the end of the list.
    Done {
        /// It.
        #[serde(with = "message")]
        message: OwnedMessage,
    },
    /// Asterisk did not do it, or nobody knows.
    Failed {
        /// Why.
        #[serde(serialize_with = "say_failure", deserialize_with = "read_failure")]
        failure: Failure,
        /// What Asterisk said, if it did.
        #[serde(with = "message::optional", default, skip_serializing_if = "Option::is_none")]
        message: Option<OwnedMessage>,
    },
    /// The agent did not ask Asterisk.
    Refused {
        /// In words, with the cure.
        why: String,
    },
}

const FAILURES: [(Failure, &str); 8] = [
    (Failure::NotPermitted, "not_permitted"),
    (Failure::UnknownAction, "unknown_action"),
    (Failure::ShuttingDown, "shutting_down"),
    (Failure::Refused, "refused"),
    (Failure::TimedOut, "timed_out"),
    (Failure::ListTooLong, "list_too_long"),
    (Failure::ListCancelled, "list_cancelled"),
    (Failure::SessionLost, "session_lost"),
];

fn say_failure<S: Serializer>(failure: &Failure, to: S) -> Result<S::Ok, S::Error> {
    let word = FAILURES.iter().find(|(known, _)| known == failure).map_or("refused", |it| it.1);
    to.serialize_str(word)
}

/// One that is not known here, of a newer agent, is a failure all the same.
fn read_failure<'de, D: Deserializer<'de>>(from: D) -> Result<Failure, D::Error> {
    let word = String::deserialize(from)?;
    let failure = FAILURES.iter().find(|(_, known)| *known == word);
    Ok(failure.map_or(Failure::Refused, |it| it.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&str, &str)]) -> OwnedMessage {
        let mut message = OwnedMessage::default();
        for (name, value) in headers {
            message.push(name, value).expect("a good header");
        }
        message
    }

    #[test]
    fn what_is_told_arrives_as_it_was() {
        let event = message(&[("Event", "Newchannel"), ("V", "a=1"), ("V", "b: \"ü\""), ("E", "")]);
        let failed = |failure, message| Answer::Failed { failure, message };
        let answers = [
            Answer::Item { message: event.clone() },
            Answer::Done { message: message(&[("Response", "Success")]) },
            failed(Failure::Refused, Some(message(&[("Response", "Error"), ("Message", "no")]))),
            Answer::Refused { why: "not allowed".into() },
        ];
        let failures = FAILURES.map(|(failure, _)| failed(failure, None));
        let answers = answers.into_iter().chain(failures);
        let mut reports: Vec<Report> =
            answers.map(|answer| Report::Answer { id: u64::MAX, answer }).collect();
        reports.push(Report::Event { message: event });
        reports.push(Report::Up { ami_version: "11.0.0".into() });
        reports.push(Report::Down { why: "refused".into() });
        reports.push(Report::Host { load_milli: 420, cpus: 2 });
        for report in reports {
            let frame = crate::encode(&report);
            assert_eq!(crate::decode::<Report>(&frame).expect(&frame), report);
        }
    }

    #[test]
    fn the_form_on_the_wire_is_this() {
        let report = Report::Answer {
            id: 3,
            answer: Answer::Failed {
                failure: Failure::NotPermitted,
                message: Some(message(&[("Response", "Error")])),
            },
        };
        assert_eq!(
            crate::encode(&report),
            r#"{"report":"answer","id":3,"answer":"failed","failure":"not_permitted","message":[["Response","Error"]]}"#
        );
    }

    #[test]
    fn a_line_end_is_told_as_what_it_is_not_and_begins_no_header() {
        let frame = r#"{"report":"event","message":[["Event","a"],["Number","2\r00\nEvent: b"],["a:b","c"]]}"#;
        let told = crate::decode::<Report>(frame).expect("no phone ends a session");
        let number = "2\u{fffd}00\u{fffd}Event: b";
        assert_eq!(told, Report::Event { message: message(&[("Event", "a"), ("Number", number)]) });
    }
}
