//! Serves the pages with an Asterisk that is none, to look at them:
//! `cargo run -p attendant --example pages [PORT]`, then log in as `admin` or `viewer` with
//! `tandem-tandem`. It ends with its standard input.

#[expect(dead_code, reason = "tests ask it what happened")]
#[path = "../tests/attendant/fake.rs"]
mod fake;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use attendant::{Attendant, Pbx, PeerState, RawLine, Role, check, new_user};
use fake::{Fake, channel, peer};
use httpd::{JoinOnDrop, PlainWrap};

const PASSWORD: &str = "tandem-tandem";

fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8011".into());
    let folder = std::env::temp_dir().join(format!("attendant-pages-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let fake = Fake::new(&folder);
    people(&fake);
    let mut lines = vec![line("general", "port", &port)];
    for (name, role) in [("admin", Role::Admin), ("viewer", Role::Viewer)] {
        let new = new_user(name, role, Some(PASSWORD))?;
        let (key, value) = new.line.split_once(" = ").unwrap_or_default();
        lines.push(line("users", key, value));
    }
    let settings = check(&lines).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let pbx: Arc<dyn Pbx> = fake.clone();
    let attendant = Attendant::begin(settings, pbx, Box::new(PlainWrap), &JoinOnDrop::spawn)?;
    println!("http://{}/", attendant.addresses()[0]);
    let state = fake.state.clone();
    std::thread::spawn(move || live(&state));
    // Until whoever started it goes.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    fake.state.release();
    drop(attendant);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn line(section: &str, name: &str, value: &str) -> RawLine {
    let (section, name, value) = (section.into(), name.into(), value.into());
    RawLine { section, name, value, ..RawLine::default() }
}

fn people(fake: &Fake) {
    fake.state.has_universal.store(true, Ordering::SeqCst);
    *fake.state.channels.lock().expect("unpoisoned") = vec![
        channel("PJSIP/200-00000001", "100", "Up", ["200", "201"]),
        channel("PJSIP/201-00000002 ", "100", "Up", ["201", "200"]),
        channel("IAX2/trunk-1181", "155", "Up", ["+493012345678", "210"]),
        channel("PJSIP/210-00000003", "155", "Ringing", ["210", "+493012345678"]),
    ];
    let mut peers = vec![
        peer("PJSIP", "200", PeerState::Online, "sip:200@192.0.2.31:5060"),
        peer("PJSIP", "201", PeerState::Online, "sip:201@192.0.2.32:5060;transport=tls"),
        peer("PJSIP", "210", PeerState::Offline, ""),
        peer("IAX2", "trunk", PeerState::Online, "198.51.100.7:4569"),
        peer("Local", "queue", PeerState::Unknown, ""),
    ];
    peers.extend((300..340).map(|number: u32| {
        let state = if number.is_multiple_of(7) { PeerState::Offline } else { PeerState::Online };
        let contact = format!("sip:{number}@192.0.2.{}:5060", number - 200);
        peer("PJSIP", &number.to_string(), state, &contact)
    }));
    *fake.state.peers.lock().expect("unpoisoned") = peers;
}

/// Something goes on, so that the pages have something to show.
fn live(state: &fake::State) {
    for number in 1.. {
        std::thread::sleep(Duration::from_secs(2));
        let line = match number % 5 {
            0 => {
                "[Nov 29 15:00:07] WARNING[4711][C-00000012]: chan_iax2.c:9512 iax2_poke_noanswer: Peer 'trunk' is now UNREACHABLE!"
            }
            1 => {
                "[Nov 29 15:00:01] NOTICE[4711]: res_pjsip/pjsip_distributor.c:676 log_failed_request: Request 'REGISTER' from '<sip:900@192.0.2.1>' failed"
            }
            2 => {
                "    -- Executing [201@phones:3] Dial(\"PJSIP/200-00000001\", \"PJSIP/201,20\") in new stack"
            }
            3 => "    -- Called PJSIP/201",
            _ => {
                "[Nov 29 15:00:09] ERROR[4711]: res_odbc.c:1001 odbc_obj_connect: res_odbc: Error SQLConnect=-1"
            }
        };
        state.say(line.as_bytes());
        let mut channels = state.channels.lock().expect("unpoisoned");
        for channel in &mut *channels {
            channel.duration += Duration::from_secs(2);
        }
        if let Some(last) = channels.last_mut() {
            last.state = if number % 4 < 2 { "Ringing".into() } else { "Up".into() };
        }
    }
}
