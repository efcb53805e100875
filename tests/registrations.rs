//! Shared registrations: a phone registers on one server, and every other finds it.

use std::time::{Duration, Instant};

use anyhow::Result;
use tandem_lab::{Asterisk, Dialplan, Lab, TRUNK_SECRET, wait_until};
use tandem_tests::{SOON, lab_with_module, wait_ready};

const HOUR: Duration = Duration::from_secs(3600);
/// The lab's lease of 6 s, the grace of 2 s, and a second for memcached's clock.
const LEASE_OVER: Duration = Duration::from_secs(9);

fn lab(name: &str) -> Result<Lab> {
    let lab = lab_with_module(name)?.start()?;
    for server in lab.servers() {
        wait_ready(server)?;
    }
    Ok(lab)
}

fn lookup(server: &Asterisk, name: &str) -> Result<String> {
    Ok(server.cli(&format!("univar {name}"))?)
}

fn found(server: &Asterisk, name: &str, identity: &str) -> Result<()> {
    let wanted = format!("Universal variable {name} has a value of {identity}");
    wait_until(&format!("{} finds {name}", server.name()), SOON, &server.log(), || {
        Ok(server.cli(&format!("univar {name}"))?.contains(&wanted))
    })?;
    Ok(())
}

fn gone(server: &Asterisk, name: &str, within: Duration) -> Result<()> {
    wait_until(&format!("{name} is gone"), within, &server.log(), || {
        Ok(server.cli(&format!("univar {name}"))?.contains("is not set"))
    })?;
    Ok(())
}

#[test]
fn a_sip_phone_and_an_iax2_phone_are_found_from_every_other_server() -> Result<()> {
    let lab = lab("registrations-found")?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), HOUR)?;
    let radio = lab.iax_phone("201")?;
    radio.register_at(lab.b())?;
    for server in [lab.b(), lab.gateway()] {
        found(server, "PEERA_200", &format!("@{}/", lab.a().address()))?;
    }
    for server in [lab.a(), lab.gateway()] {
        found(server, "PEERB_201", &format!("@{}/", lab.b().address()))?;
    }
    // They stay for longer than the lease, without the phones doing anything.
    let end = Instant::now() + LEASE_OVER;
    while Instant::now() < end {
        assert!(lookup(lab.gateway(), "PEERA_200")?.contains("has a value"));
        assert!(lookup(lab.gateway(), "PEERB_201")?.contains("has a value"));
    }
    desk.unregister_at(lab.a())?;
    gone(lab.gateway(), "PEERA_200", SOON)?;
    radio.unregister_at(lab.b())?;
    gone(lab.gateway(), "PEERB_201", SOON)?;
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_killed_server_loses_its_records_within_the_lease_and_has_them_again_when_it_is_back()
-> Result<()> {
    let lab = lab("registrations-killed")?;
    let identity = format!("@{}/", lab.a().address());
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), HOUR)?;
    let radio = lab.iax_phone("201")?;
    radio.register_at(lab.a())?;
    found(lab.b(), "PEERA_200", &identity)?;
    found(lab.b(), "PEERA_201", &identity)?;
    lab.a().wait_database_saved("/registrar/contact/200", SOON)?;
    lab.a().wait_database_saved("/IAX/Registry/201", SOON)?;
    desk.kill();
    radio.kill();
    lab.a().kill();
    gone(lab.b(), "PEERA_200", LEASE_OVER)?;
    gone(lab.b(), "PEERA_201", LEASE_OVER)?;
    lab.a().start()?;
    found(lab.b(), "PEERA_200", &identity)?;
    found(lab.b(), "PEERA_201", &identity)?;
    Ok(())
}

#[test]
fn a_clean_stop_and_an_unload_withdraw_and_a_load_publishes_again() -> Result<()> {
    let lab = lab("registrations-stop")?;
    let identity = format!("@{}/", lab.a().address());
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), HOUR)?;
    found(lab.b(), "PEERA_200", &identity)?;
    lab.a().cli("module unload app_universal.so")?;
    assert!(lookup(lab.b(), "PEERA_200")?.contains("is not set"));
    assert!(!lab.a().maps_contains("app_universal")?, "the module is out of memory");
    lab.a().cli("module load app_universal.so")?;
    found(lab.b(), "PEERA_200", &identity)?;
    lab.a().wait_database_saved("/registrar/contact/200", SOON)?;
    lab.a().stop()?;
    assert!(lookup(lab.b(), "PEERA_200")?.contains("is not set"));
    Ok(())
}

#[test]
fn with_one_prefix_the_newest_registration_owns_the_record_and_renewals_never_take_it_back()
-> Result<()> {
    let lab = lab("registrations-shared")?;
    for server in [lab.a(), lab.b()] {
        let conf = server.read_file("universal.conf")?;
        let shared = conf.replace("PEERA_", "PEER_").replace("PEERB_", "PEER_");
        server.write_file("universal.conf", &shared)?;
        server.cli("module reload app_universal.so")?;
    }
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), HOUR)?;
    found(lab.gateway(), "PEER_200", &format!("@{}/", lab.a().address()))?;
    desk.kill();
    let moved = lab.phone("200").start()?;
    moved.register_at(lab.b(), HOUR)?;
    found(lab.gateway(), "PEER_200", &format!("@{}/", lab.b().address()))?;
    let end = Instant::now() + LEASE_OVER;
    while Instant::now() < end {
        assert!(lookup(lab.gateway(), "PEER_200")?.contains(&format!("@{}/", lab.b().address())));
    }
    lab.a().wait_cli("universal show registrations", "another's", SOON)?;
    Ok(())
}

#[test]
fn a_cache_that_lost_everything_is_full_again_within_five_seconds_and_never_says_missing()
-> Result<()> {
    let lab = lab("registrations-cache-lost")?;
    let identity = format!("@{}/", lab.a().address());
    let phones: Vec<_> = ["200", "202", "203", "204"]
        .map(|n| lab.phone(n).start())
        .into_iter()
        .collect::<Result<_, _>>()?;
    for phone in &phones {
        phone.register_at(lab.a(), HOUR)?;
        found(lab.gateway(), &format!("PEERA_{}", phone.number()), &identity)?;
    }
    let lost = Instant::now();
    lab.cache(1).kill();
    lab.cache(2).kill();
    lab.cache(1).start()?;
    lab.cache(2).start()?;
    for phone in &phones {
        let name = format!("PEERA_{}", phone.number());
        loop {
            let answer = lookup(lab.gateway(), &name)?;
            assert!(!answer.contains("is not set"), "{name}: {answer}");
            if answer.contains(&identity) {
                break;
            }
            assert!(lost.elapsed() < Duration::from_secs(5), "{name} is found again: {answer}");
        }
    }
    Ok(())
}

#[test]
fn locate_gives_a_dial_string_for_each_server_that_has_the_phone_and_says_when_it_cannot_tell()
-> Result<()> {
    let lab = lab("registrations-locate")?;
    let mut gateway = Dialplan::on(lab.gateway())?;
    let located = |arguments: &str| format!("Set(WHERE=${{LOCATE({arguments})}})");
    let seen = "${UNIVARSTATUS} ${WHERE}";
    let dial = |server: &Asterisk| format!("IAX2/tandem:{TRUNK_SECRET}@{}/200", server.address());

    assert_eq!(gateway.run(&[&located("200")], seen)?, "MISSING ");
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.b(), HOUR)?;
    found(lab.gateway(), "PEERB_200", &format!("@{}/", lab.b().address()))?;
    assert_eq!(gateway.run(&[&located("200")], seen)?, format!("OK {}", dial(lab.b())));
    desk.register_at(lab.a(), HOUR)?;
    found(lab.gateway(), "PEERA_200", &format!("@{}/", lab.a().address()))?;
    let both = format!("OK {}&{}", dial(lab.a()), dial(lab.b()));
    assert_eq!(gateway.run(&[&located("200")], seen)?, both, "in the order of prefixes=");
    let shifted = ["Set(FIRST=${SHIFT(WHERE,&)})"];
    let lines = [&located("200"), shifted[0]];
    assert_eq!(
        gateway.run(&lines, "${FIRST} ${WHERE}")?,
        format!("{} {}", dial(lab.a()), dial(lab.b()))
    );
    let template = located("200,PJSIP/{peer}{identity}");
    let wanted = format!("OK PJSIP/200@{}/&PJSIP/200@{}/", lab.a().address(), lab.b().address());
    assert_eq!(gateway.run(&[&template], seen)?, wanted);
    assert_eq!(gateway.run(&[&located("")], seen)?, "INVALID ");
    assert_eq!(gateway.run(&[&located("200,PJSIP/{exten}")], seen)?, "INVALID ");

    // One bad record, whoever wrote it, hides no good one.
    desk.unregister_at(lab.a())?;
    gone(lab.gateway(), "PEERA_200", SOON)?;
    for number in [1, 2] {
        lab.cache(number).set("PEERA_200", "@bad\tidentity/", 0)?;
    }
    assert_eq!(gateway.run(&[&located("200")], seen)?, format!("OK {}", dial(lab.b())));
    lab.gateway().wait_log("the record PEERA_200 cannot be used", SOON)?;

    lab.cache(1).kill();
    lab.cache(2).kill();
    assert_eq!(gateway.run(&[&located("200")], seen)?, "UNREACHABLE ");
    Ok(())
}
