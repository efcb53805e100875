//! What a busy server says for some minutes, made up: real header sets, and always the same bytes.
//!
//! The sets, their order and their empty values are those of Asterisk 22 (`manager_channels.c`,
//! `manager_bridges.c`, `stasis_channels.c`, `stasis_endpoints.c`, `pjsip_configuration.c`). A call
//! makes two channels, a dial, a bridge, some variables and two hangups; between calls phones
//! register and are found reachable, and now and then a console asks for lists and a command.

use std::fmt::Write as _;

/// Where the calls begin; what follows counts up from it.
const EPOCH: u64 = 1_795_394_760;
/// Calls between two snapshots that a console asks for.
const CALLS_PER_SNAPSHOT: u64 = 200;
/// Items of each of its lists.
const SNAPSHOT_ITEMS: u64 = 100;
/// Lines of its command's output.
const OUTPUT_LINES: u64 = 40;

/// The greeting, and then messages until there are `bytes` of them.
pub(super) fn stream(bytes: usize) -> Vec<u8> {
    let mut writer = Writer { out: String::with_capacity(bytes + 65_536), random: 0x2545_f491 };
    writer.out.push_str("Asterisk Call Manager/11.0.0\r\n");
    for call in 0.. {
        if writer.out.len() >= bytes {
            break;
        }
        if call % CALLS_PER_SNAPSHOT == 0 {
            writer.snapshot(call);
        }
        writer.register();
        writer.call(call);
    }
    writer.out.into_bytes()
}

/// One leg of a call, as its events show it.
struct Leg {
    name: String,
    state: (u8, &'static str),
    number: u64,
    other: Option<u64>,
    exten: u64,
    id: String,
    linked: String,
}

impl Leg {
    /// `ast_manager_build_channel_state_string_prefix`
    fn write(&self, out: &mut String, prefix: &str) {
        let (state, state_text) = self.state;
        let other = self.other.map_or_else(|| "<unknown>".to_owned(), |other| other.to_string());
        let other_name =
            self.other.map_or_else(|| "<unknown>".to_owned(), |other| format!("Phone {other}"));
        let number = self.number;
        for (name, value) in [
            ("Channel", self.name.as_str()),
            ("ChannelState", &state.to_string()),
            ("ChannelStateDesc", state_text),
            ("CallerIDNum", &number.to_string()),
            ("CallerIDName", &format!("Phone {number}")),
            ("ConnectedLineNum", &other),
            ("ConnectedLineName", &other_name),
            ("Language", "en"),
            ("AccountCode", ""),
            ("Context", "from-internal"),
            ("Exten", &self.exten.to_string()),
            ("Priority", "1"),
            ("Uniqueid", &self.id),
            ("Linkedid", &self.linked),
        ] {
            line(out, &format!("{prefix}{name}"), value);
        }
    }
}

struct Writer {
    out: String,
    random: u64,
}

impl Writer {
    /// A xorshift: the same numbers everywhere and always.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn event(&mut self, name: &str, class: &str) {
        line(&mut self.out, "Event", name);
        line(&mut self.out, "Privilege", &format!("{class},all"));
    }

    fn lines(&mut self, lines: &[(&str, &str)]) {
        for (name, value) in lines {
            line(&mut self.out, name, value);
        }
    }

    fn end(&mut self) {
        self.out.push_str("\r\n");
    }

    /// An event that is about one channel and has these headers besides.
    fn channel_event(&mut self, name: &str, class: &str, leg: &Leg, more: &[(&str, &str)]) {
        self.event(name, class);
        leg.write(&mut self.out, "");
        self.lines(more);
        self.end();
    }

    fn register(&mut self) {
        let phone = 1000 + self.below(2000);
        let port = 5060 + self.below(40_000);
        let host = format!("10.{}.{}.{}", self.below(4), self.below(250), self.below(250));
        self.event("ContactStatus", "system");
        let round_trip = (800 + self.below(60_000)).to_string();
        self.lines(&[
            (
                "URI",
                &format!("sip:{phone}@{host}:{port};transport=udp;x-ast-orig-host={host}:{port}"),
            ),
            ("ContactStatus", "Reachable"),
            ("AOR", &phone.to_string()),
            ("EndpointName", &phone.to_string()),
            ("RoundtripUsec", &round_trip),
        ]);
        self.end();
        self.event("PeerStatus", "system");
        let peer = format!("PJSIP/{phone}");
        self.lines(&[("ChannelType", "PJSIP"), ("Peer", &peer), ("PeerStatus", "Reachable")]);
        self.end();
    }

    fn call(&mut self, call: u64) {
        let (from, to) = (1000 + self.below(2000), 1000 + self.below(2000));
        let leg = |number: u64, exten: u64, place: u64, state| Leg {
            name: format!("PJSIP/{number}-{:08x}", 2 * call + place),
            state,
            number,
            other: None,
            exten,
            id: format!("{}.{}", EPOCH + call, 2 * call + place),
            linked: format!("{}.{}", EPOCH + call, 2 * call),
        };
        let mut a = leg(from, to, 0, (4, "Ring"));
        let mut b = leg(to, from, 1, (0, "Down"));
        self.channel_event("Newchannel", "call", &a, &[]);
        self.device_state(from, "INUSE");
        self.dial_plan(&a, to);
        self.channel_event("Newchannel", "call", &b, &[]);
        (a.other, b.other) = (Some(to), Some(from));
        self.dial("DialBegin", &a, &b, &[("DialString", &format!("{to}/sip:{to}@10.0.0.9:5060"))]);
        b.state = (5, "Ringing");
        self.channel_event("Newstate", "call", &b, &[]);
        self.device_state(to, "RINGING");
        if self.below(4) == 0 {
            self.dial("DialEnd", &a, &b, &[("DialStatus", "NOANSWER")]);
        } else {
            (a.state, b.state) = ((6, "Up"), (6, "Up"));
            self.channel_event("Newstate", "call", &b, &[]);
            self.dial("DialEnd", &a, &b, &[("DialStatus", "ANSWER")]);
            self.channel_event("Newstate", "call", &a, &[]);
            self.bridge(call, &a, &b);
        }
        for leg in [&b, &a] {
            let cause = [("Cause", "16"), ("Cause-txt", "Normal Clearing")];
            self.channel_event("Hangup", "call", leg, &cause);
            self.device_state(leg.number, "NOT_INUSE");
        }
    }

    fn dial_plan(&mut self, leg: &Leg, to: u64) {
        for (application, data) in [
            ("NoOp", format!("call to {to}: from the phone, \"internal\"")),
            ("Set", "CDR(userfield)=in:1".to_owned()),
            ("Dial", format!("PJSIP/{to},30,tT")),
        ] {
            let exten = to.to_string();
            let more = [("Extension", &*exten), ("Application", application), ("AppData", &*data)];
            self.channel_event("Newexten", "dialplan", leg, &more);
        }
        for (variable, value) in [
            ("SIPURI", format!("sip:{}@10.0.0.8:5060", leg.number)),
            ("DIALEDPEERNUMBER", format!("{to}/sip:{to}@10.0.0.9:5060")),
            ("DIALSTATUS", String::new()),
        ] {
            let more = [("Variable", variable), ("Value", &*value)];
            self.channel_event("VarSet", "dialplan", leg, &more);
        }
    }

    fn dial(&mut self, name: &str, from: &Leg, to: &Leg, more: &[(&str, &str)]) {
        self.event(name, "call");
        from.write(&mut self.out, "");
        to.write(&mut self.out, "Dest");
        self.lines(more);
        self.end();
    }

    fn bridge(&mut self, call: u64, a: &Leg, b: &Leg) {
        let id = format!("{:08x}-4d5e-4c2b-9d3f-{:012x}", call * 2_654_435_761, call * 97);
        for (name, legs) in [("BridgeEnter", [b, a]), ("BridgeLeave", [b, a])] {
            for (count, leg) in legs.into_iter().enumerate() {
                self.event(name, "call");
                self.lines(&[
                    ("BridgeUniqueid", &id),
                    ("BridgeType", "basic"),
                    ("BridgeTechnology", "simple_bridge"),
                    ("BridgeCreator", "<unknown>"),
                    ("BridgeName", "<unknown>"),
                    ("BridgeNumChannels", &(count + 1).to_string()),
                    ("BridgeVideoSourceMode", "none"),
                ]);
                leg.write(&mut self.out, "");
                self.end();
            }
        }
    }

    fn device_state(&mut self, phone: u64, state: &str) {
        self.event("DeviceStateChange", "call");
        self.lines(&[("Device", &format!("PJSIP/{phone}")), ("State", state)]);
        self.end();
    }

    /// A list, and what a command prints: answers to a console.
    fn snapshot(&mut self, call: u64) {
        let id = format!("console-{call}");
        self.lines(&[
            ("Response", "Success"),
            ("ActionID", &id),
            ("EventList", "start"),
            ("Message", "A listing of Endpoints follows, presented as EndpointList events"),
        ]);
        self.end();
        for item in 0..SNAPSHOT_ITEMS {
            let phone = (1000 + item).to_string();
            self.lines(&[
                ("Event", "EndpointList"),
                ("ActionID", &id),
                ("ObjectType", "endpoint"),
                ("ObjectName", &phone),
                ("Transport", "transport-udp"),
                ("Aor", &phone),
                ("Auths", &phone),
                ("OutboundAuths", ""),
                ("Contacts", &format!("{phone}/sip:{phone}@10.0.0.{}:5060,", item % 250)),
                ("DeviceState", "Not in use"),
                ("ActiveChannels", ""),
            ]);
            self.end();
        }
        let items = SNAPSHOT_ITEMS.to_string();
        self.lines(&[
            ("Event", "EndpointListComplete"),
            ("ActionID", &id),
            ("EventList", "Complete"),
            ("ListItems", &items),
        ]);
        self.end();
        self.lines(&[
            ("Response", "Success"),
            ("ActionID", &id),
            ("Message", "Command output follows"),
        ]);
        for at in 0..OUTPUT_LINES {
            let text =
                format!("PJSIP/{}-{at:08x}   from-internal   Up   Dial(PJSIP/{at},30)", 1000 + at);
            line(&mut self.out, "Output", &text);
        }
        self.end();
    }
}

fn line(out: &mut String, name: &str, value: &str) {
    write!(out, "{name}: {value}\r\n").expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_same_each_time_and_ends_with_a_whole_message() {
        let bytes = stream(300_000);
        assert_eq!(bytes, stream(300_000));
        assert!(bytes.len() >= 300_000 && bytes.len() < 400_000, "{}", bytes.len());
        assert!(bytes.ends_with(b"\r\n\r\n"));
    }
}
