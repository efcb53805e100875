//! The fleet's state is what a real Asterisk does, and what it says when it is asked again.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ami_proto::{Action, ActionId, Config, Event, Session};
use anyhow::{Context as _, Result, bail, ensure};
use fleet::{
    Answer, CallState, Device, Direction, Driver, Fleet, Freshness, OutboundId, OutboundState,
    PeerId, PeerView, Registration, RequestId, ServerView, Time,
};
use tandem_lab::{AMI_SECRET, Asterisk, Lab, Phone, Release, phone_secret, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
/// Bound of anything here: all of it is loopback.
const SOON: Duration = Duration::from_secs(15);
/// How long a read waits before the session is told the time.
const READ_WITHIN: Duration = Duration::from_millis(20);
const SERVER: &str = "A";
const MAILBOX: &str = "200@default";
/// Goes to the end of the context `from-phones`.
const VOICEMAIL: &str =
    "exten => 900,1,Answer()\n same => n,VoiceMail(200@default,s)\n same => n,Hangup()\n";

const PJSIP_REGISTRATION: &str = "
[b]
type = registration
server_uri = sip:@ADDRESS_B@
client_uri = sip:205@@ADDRESS_B@
outbound_auth = 205
max_random_initial_delay = 0
";
/// The second is told no.
const IAX2_REGISTRATIONS: &str = "
[general](+)
register => 208:secret-208@@ADDRESS_B@
register => 207:wrong@@ADDRESS_B@
";
/// At the chan_pjsip of the other.
const SIP_REGISTRATION: &str = "
[general](+)
register => 206:secret-206@@ADDRESS_B@
";

/// A fleet of one server, with the session that feeds it.
struct Watch {
    fleet: Fleet,
    session: Session,
    stream: TcpStream,
    requests: HashMap<ActionId, RequestId>,
}

impl Watch {
    fn begin(server: &Asterisk, fleet: Fleet) -> Result<Self> {
        let stream = server.ami_stream(SOON)?;
        stream.set_read_timeout(Some(READ_WITHIN))?;
        let config = Config::new("lab", AMI_SECRET, "tandem-fleet")?;
        let session = Session::new(config, Instant::now());
        Ok(Self { fleet, session, stream, requests: HashMap::new() })
    }

    fn view(&self) -> &ServerView {
        self.fleet.server(SERVER).expect("it was added")
    }

    fn peer(&self, driver: Driver, name: &str) -> Option<&PeerView> {
        self.view().peer(&PeerId { driver, name: name.into() })
    }

    /// Goes on until the state is as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + SOON;
        while !wanted(self) {
            if Instant::now() > end {
                bail!("not within {SOON:?}: {what}; {:#?}", self.fleet.snapshot());
            }
            self.step()?;
        }
        Ok(())
    }

    /// Asks for everything again, and goes on until it has been compared and nothing is left to ask.
    fn reconcile(&mut self) -> Result<()> {
        let before = self.view().info().reconciled_ms;
        let at = self.fleet.poll_timeout(SERVER).context("a reconciliation is due")?;
        self.fleet.handle_timeout(at, SERVER);
        self.until("reconciled", |watch| {
            watch.view().info().reconciled_ms != before && watch.requests.is_empty()
        })
    }

    fn step(&mut self) -> Result<()> {
        self.send()?;
        let mut buf = [0; 16 * 1024];
        match self.stream.read(&mut buf) {
            Ok(0) => self.session.handle_closed(Instant::now()),
            Ok(len) => self.session.handle_input(Instant::now(), &buf[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.session.handle_timeout(Instant::now());
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.session.handle_closed(Instant::now());
            }
            Err(error) => return Err(error.into()),
        }
        self.take();
        self.send()
    }

    fn send(&mut self) -> Result<()> {
        while let Some(request) = self.fleet.poll_request(now(), SERVER) {
            let mut action = Action::new(request.action)?;
            for (name, value) in &request.headers {
                action = action.header(name, value.as_str())?;
            }
            self.requests.insert(self.session.send(Instant::now(), &action)?, request.id);
        }
        while let Some(bytes) = self.session.poll_transmit() {
            self.stream.write_all(bytes)?;
        }
        Ok(())
    }

    fn take(&mut self) {
        let version = self.session.version().to_vec();
        let (fleet, requests) = (&mut self.fleet, &mut self.requests);
        while let Some(event) = self.session.poll_event() {
            let (action, answer) = match event {
                Event::LoggedIn => {
                    fleet.connected(now(), SERVER, &version);
                    continue;
                }
                Event::Event(message) | Event::FullyBooted(message) => {
                    fleet.event(now(), SERVER, message);
                    continue;
                }
                Event::Lost(_) => {
                    fleet.disconnected(now(), SERVER);
                    continue;
                }
                Event::ListItem { action, message } => {
                    fleet.answer(now(), SERVER, requests[&action], Answer::Item(message));
                    continue;
                }
                Event::Response { action, message } | Event::ListEnd { action, message, .. } => {
                    (action, Answer::Done(message))
                }
                Event::Failed { action, failure, message } => {
                    (action, Answer::Failed(failure, message))
                }
                _ => continue,
            };
            let request = requests.remove(&action).expect("it was sent");
            fleet.answer(now(), SERVER, request, answer);
        }
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    Time { ms: u64::try_from(since.as_millis()).expect("it is before the year 500 million") }
}

fn watched(server: &Asterisk) -> Result<Watch> {
    let mut fleet = Fleet::new(now().ms);
    let config = fleet::Config { trunks: vec!["IAX2/*".to_owned()], ..fleet::Config::default() };
    fleet.add(SERVER, config).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let mut watch = Watch::begin(server, fleet)?;
    watch.until("the first snapshot", |watch| {
        watch.view().info().reconciled_ms.is_some() && watch.requests.is_empty()
    })?;
    Ok(watch)
}

/// What a server that is asked for the first time now says is what events have said.
fn assert_is_what_the_server_says(watch: &mut Watch, server: &Asterisk) -> Result<()> {
    watch.reconcile()?;
    ensure!(watch.view().info().drift == 0, "events had not told all: {:#?}", watch.view().info());
    let other = watched(server)?;
    let peers = |watch: &Watch| -> Vec<_> {
        let peers = watch.view().peers().cloned();
        peers.map(|peer| PeerView { since_ms: None, round_trip_us: None, ..peer }).collect()
    };
    assert_eq!(peers(watch), peers(&other));
    let calls = |watch: &Watch| -> Vec<_> {
        let mut calls: Vec<_> = watch.view().calls().cloned().collect();
        for call in &mut calls {
            call.since_ms = Time::default();
            call.legs.iter_mut().for_each(|leg| leg.on_hold = None);
        }
        calls
    };
    assert_eq!(calls(watch), calls(&other));
    assert!(watch.view().mailboxes().eq(other.view().mailboxes()));
    Ok(())
}

#[test]
fn asterisk_22_is_shown_as_it_happens_and_as_it_is_listed() -> Result<()> {
    is_shown_as_it_happens_and_as_it_is_listed(Release::Asterisk22)
}

#[test]
fn asterisk_16_is_shown_as_it_happens_and_as_it_is_listed() -> Result<()> {
    is_shown_as_it_happens_and_as_it_is_listed(Release::Asterisk16)
}

#[test]
fn device_states_are_not_offered_by_an_asterisk_16_without_their_module() -> Result<()> {
    let lab = Lab::builder("fleet-16-devices")
        .without_server("B")
        .without_server("gateway")
        .server("A", |config| config.release(Release::Asterisk16))
        .start()?;
    let watch = watched(lab.a())?;
    assert_eq!(watch.view().info().parts.devices, Freshness::NotOffered);
    assert_eq!(watch.peer(Driver::Pjsip, "200").map(|peer| peer.device), Some(Device::Unknown));
    Ok(())
}

#[test]
fn where_a_server_is_registered_itself_is_shown() -> Result<()> {
    for release in Release::ALL {
        registers_itself_at_another(release)?;
    }
    Ok(())
}

fn is_shown_as_it_happens_and_as_it_is_listed(release: Release) -> Result<()> {
    let lab = start(release)?;
    let mut watch = watched(lab.a())?;
    assert_first_snapshot(watch.view(), release)?;

    let desk = lab.phone("200").answers(false).start()?;
    desk.register_at(lab.a(), MINUTE)?;
    let caller = lab.phone("202").start()?;
    caller.register_at(lab.a(), MINUTE)?;
    let radio = lab.iax_phone("201")?;
    radio.register_at(lab.a())?;
    watch.until("three are registered, and say what they are", |watch| {
        let agent = |name| watch.peer(Driver::Pjsip, name).and_then(|it| it.user_agent.clone());
        let are_known = agent("200").is_some() && agent("202").is_some();
        are_known && watch.view().info().peers_registered == 3
    })?;
    let radio_at = watch.peer(Driver::Iax2, "201").and_then(|it| it.address.clone());
    let expected = radio.asterisk().address().to_string();
    ensure!(radio_at.as_ref().is_some_and(|at| at.starts_with(&expected)), "{radio_at:?}");

    rings_is_answered_and_is_held(&lab, &mut watch, &caller, &desk)?;

    caller.hang_up()?;
    caller.wait_closed(SOON)?;
    watch.until("the call is over", |watch| {
        let device = watch.peer(Driver::Pjsip, "200").map(|peer| peer.device);
        watch.view().info().calls == 0 && device == Some(Device::Idle)
    })?;
    goes_out_by_a_trunk(&lab, &mut watch, &caller)?;
    leaves_a_message(&lab, &mut watch, &caller)?;
    if release == Release::Asterisk16 {
        has_a_phone_at_chan_sip(&lab, &mut watch, &caller)?;
    }
    radio.unregister_at(lab.a())?;
    desk.unregister_at(lab.a())?;
    watch.until("one is left", |watch| watch.view().info().peers_registered == 1)?;
    assert_is_what_the_server_says(&mut watch, lab.a())?;
    goes_away_in_mid_call_and_comes_back(&lab, watch, &caller, &desk)
}

fn start(release: Release) -> Result<Lab> {
    let lab = Lab::builder(&format!("fleet-{}", release.version()))
        .without_server("B")
        .without_server("gateway")
        .server("A", |config| {
            let config = config
                .release(release)
                .load("res_manager_devicestate")
                .append("voicemail.conf", "200 => 1234,Phone 200\n")
                .append("extensions.conf", VOICEMAIL);
            match release {
                Release::Asterisk22 => config,
                Release::Asterisk16 => config
                    .sip_peer("203", &phone_secret("203"))
                    .append("extensions.conf", "exten => 203,1,Dial(SIP/203,20)\n"),
            }
        })
        .start()?;
    Ok(lab)
}

fn assert_first_snapshot(view: &ServerView, release: Release) -> Result<()> {
    let info = view.info();
    ensure!(info.version.as_ref().is_some_and(|it| it.starts_with(release.version())), "{info:#?}");
    ensure!(info.booted && info.up_since_ms.is_some(), "{info:#?}");
    match release {
        Release::Asterisk22 => {
            assert_eq!(info.parts.sip, Freshness::NotOffered, "chan_sip is gone since 21");
            ensure!(info.calls_processed.is_some());
        }
        Release::Asterisk16 => {
            assert_eq!(info.parts.sip, Freshness::Live);
            ensure!(info.calls_processed.is_none(), "16 does not tell");
        }
    }
    for part in [
        info.parts.pjsip,
        info.parts.contacts,
        info.parts.iax2,
        info.parts.devices,
        info.parts.calls,
        info.parts.mailboxes,
    ] {
        assert_eq!(part, Freshness::Live);
    }
    let mailbox = view.mailbox(MAILBOX).context("a mailbox")?;
    assert_eq!((mailbox.new, mailbox.old), (0, 0));
    let desk = PeerId { driver: Driver::Pjsip, name: "200".into() };
    let desk_is = view.peer(&desk).context("an endpoint")?.registration;
    assert_eq!(desk_is, Registration::Unregistered);
    Ok(())
}

fn rings_is_answered_and_is_held(
    lab: &Lab,
    watch: &mut Watch,
    caller: &Phone,
    desk: &Phone,
) -> Result<()> {
    caller.dial(lab.a(), "200")?;
    desk.wait_ringing(SOON)?;
    watch.until("one call rings", |watch| {
        let mut calls = watch.view().calls();
        calls.next().is_some_and(|call| call.state == CallState::Ringing && call.legs_count == 2)
    })?;
    let call = watch.view().calls().next().context("a call")?.clone();
    assert_eq!(call.direction, Direction::Internal);
    assert_eq!(call.from.peer.as_deref(), Some("PJSIP/202"));
    assert_eq!(call.to.peer.as_deref(), Some("PJSIP/200"));
    desk.answer()?;
    caller.wait_established(SOON)?;
    watch.until("the call is up, and both phones are in use", |watch| {
        let device = |name| watch.peer(Driver::Pjsip, name).map(|peer| peer.device);
        let is_up = watch.view().call(&call.id).is_some_and(|call| {
            call.state == CallState::Up && call.legs.iter().all(|leg| leg.bridge.is_some())
        });
        is_up && device("200") == Some(Device::InUse) && device("202") == Some(Device::InUse)
    })?;
    assert_is_what_the_server_says(watch, lab.a())?;

    let is = |watch: &Watch, state| watch.view().call(&call.id).map(|it| it.state) == Some(state);
    caller.hold()?;
    watch.until("the call is on hold", |watch| is(watch, CallState::OnHold))?;
    let holds = |name: &str| {
        let call = watch.view().call(&call.id)?;
        call.legs.iter().find(|leg| leg.party.peer.as_deref() == Some(name))?.on_hold
    };
    assert_eq!((holds("PJSIP/202"), holds("PJSIP/200")), (Some(true), Some(false)));
    caller.resume()?;
    watch.until("the call goes on", |watch| is(watch, CallState::Up))
}

fn goes_out_by_a_trunk(lab: &Lab, watch: &mut Watch, caller: &Phone) -> Result<()> {
    caller.dial(lab.a(), "201")?;
    caller.wait_established(SOON)?;
    watch.until("a call goes out", |watch| {
        let mut calls = watch.view().calls();
        calls.next().is_some_and(|call| call.state == CallState::Up && call.legs_count == 2)
    })?;
    let call = watch.view().calls().next().context("a call")?;
    assert_eq!(call.direction, Direction::Out);
    assert_eq!(call.to.peer.as_deref(), Some("IAX2/201"));
    caller.hang_up()?;
    caller.wait_closed(SOON)?;
    watch.until("it is over", |watch| watch.view().info().calls == 0)
}

fn leaves_a_message(lab: &Lab, watch: &mut Watch, caller: &Phone) -> Result<()> {
    let server = lab.a();
    caller.dial(server, "900")?;
    caller.wait_established(SOON)?;
    wait_until("202's voice is being recorded", SOON, &server.log(), || {
        server.message_in_the_making("200")?.map_or(Ok(false), |message| message.has_tone(440))
    })?;
    caller.hang_up()?;
    caller.wait_closed(SOON)?;
    watch.until("the message is counted", |watch| {
        watch.view().mailbox(MAILBOX).is_some_and(|mailbox| (mailbox.new, mailbox.old) == (1, 0))
    })
}

fn has_a_phone_at_chan_sip(lab: &Lab, watch: &mut Watch, caller: &Phone) -> Result<()> {
    let old = lab.phone("203").at_chan_sip().start()?;
    let is = |watch: &Watch| watch.peer(Driver::Sip, "203").map(|peer| peer.registration);
    assert_eq!(is(watch), Some(Registration::Unregistered));
    old.register_at(lab.a(), MINUTE)?;
    watch.until("it is registered", |watch| is(watch) == Some(Registration::Registered))?;
    let at = watch.peer(Driver::Sip, "203").and_then(|peer| peer.address.clone());
    assert_eq!(at.as_deref(), Some(&*format!("{}:5060", old.address())));

    caller.dial(lab.a(), "203")?;
    caller.wait_established(SOON)?;
    watch.until("it is in use", |watch| {
        let device = watch.peer(Driver::Sip, "203").map(|peer| peer.device);
        let mut calls = watch.view().calls();
        device == Some(Device::InUse) && calls.next().is_some_and(|it| it.state == CallState::Up)
    })?;
    let call = watch.view().calls().next().context("a call")?;
    assert_eq!(call.to.peer.as_deref(), Some("SIP/203"));
    assert_is_what_the_server_says(watch, lab.a())?;
    caller.hang_up()?;
    caller.wait_closed(SOON)?;
    old.unregister_at(lab.a())?;
    watch.until("it is not registered any more", |watch| {
        watch.view().info().calls == 0 && is(watch) == Some(Registration::Unregistered)
    })
}

fn goes_away_in_mid_call_and_comes_back(
    lab: &Lab,
    mut watch: Watch,
    caller: &Phone,
    desk: &Phone,
) -> Result<()> {
    desk.register_at(lab.a(), MINUTE)?;
    caller.dial(lab.a(), "200")?;
    desk.wait_ringing(SOON)?;
    watch.until("it rings", |watch| watch.view().info().calls == 1)?;
    lab.a().kill();
    watch.until("it is noticed", |watch| !watch.view().info().connected)?;
    ensure!(matches!(watch.view().info().parts.calls, Freshness::AsOf(_)), "shown with its age");
    assert_eq!(watch.view().info().calls, 1);

    lab.a().start()?;
    let before = watch.view().info().reconciled_ms;
    let mut watch = Watch::begin(lab.a(), watch.fleet)?;
    watch.until("it is back, and the call is not", |watch| {
        let info = watch.view().info();
        info.booted && info.reconciled_ms != before && watch.requests.is_empty()
    })?;
    assert_eq!(watch.view().info().calls, 0);
    assert_is_what_the_server_says(&mut watch, lab.a())
}

fn registers_itself_at_another(release: Release) -> Result<()> {
    let lab = Lab::builder(&format!("fleet-{}-registers", release.version()))
        .without_server("gateway")
        .server("A", |config| {
            let config = config
                .release(release)
                .load("res_pjsip_outbound_registration")
                .append("pjsip.conf", PJSIP_REGISTRATION)
                .append("iax.conf", IAX2_REGISTRATIONS);
            match release {
                Release::Asterisk22 => config,
                Release::Asterisk16 => config.append("sip.conf", SIP_REGISTRATION),
            }
        })
        .start()?;
    // The other may not have listened yet when they were tried at the start. Besides, chan_iax2
    // may note that it has asked after it has had the answer (`iax2_do_register`).
    lab.a().cli("pjsip send register b")?;
    wait_until("chan_iax2 has its answers", SOON, &lab.a().log(), || {
        let registry = lab.a().cli("iax2 show registry")?;
        if !registry.contains("Registered") {
            lab.a().cli("iax2 reload")?;
        }
        Ok(registry.contains("Registered") && registry.contains("Rejected"))
    })?;
    if release == Release::Asterisk16 {
        lab.a().cli("sip reload")?;
    }
    let mut watch = watched(lab.a())?;
    let (host, iax) = (lab.b().address(), format!("{}:4569", lab.b().address()));
    let id = |driver, user: &str, at: &str| OutboundId { driver, user: user.into(), at: at.into() };
    let by_pjsip = id(Driver::Pjsip, &format!("sip:205@{host}"), &format!("sip:{host}"));
    let by_iax2 = id(Driver::Iax2, "208", &iax);
    let with_a_wrong_secret = id(Driver::Iax2, "207", &iax);
    let by_sip = id(Driver::Sip, "206", &host.to_string());
    let mut expected = vec![
        (&by_pjsip, OutboundState::Registered),
        (&by_iax2, OutboundState::Registered),
        (&with_a_wrong_secret, OutboundState::Rejected),
    ];
    if release == Release::Asterisk16 {
        expected.push((&by_sip, OutboundState::Registered));
    }
    let state = |watch: &Watch, id| watch.view().registration_outbound(id).map(|it| it.state);
    watch.until("all have their answers", |watch| {
        expected.iter().all(|&(id, expected)| state(watch, id) == Some(expected))
    })?;
    assert_eq!(watch.view().registrations_outbound().count(), expected.len());

    lab.a().cli("pjsip send unregister b")?;
    watch.until("it is unregistered by hand", |watch| {
        state(watch, &by_pjsip) == Some(OutboundState::Unregistered)
    })?;
    let name = watch.view().registration_outbound(&by_pjsip).and_then(|it| it.name.clone());
    assert_eq!(name.as_deref(), Some("b"));
    watch.reconcile()?;
    assert_eq!(state(&watch, &by_pjsip), Some(OutboundState::Unregistered));
    Ok(())
}
