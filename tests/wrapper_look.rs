//! What a module sees of Asterisk through the wrapper, and how it speaks TLS: asked of the example `look`.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tandem_lab::{Asterisk, Lab, LabBuilder, wait_for, wait_until};
use tandem_tests::{Identity, SOON};

const MINUTE: Duration = Duration::from_secs(60);
/// How often it is tried: whoever waits is inside for a moment only.
const UNLOADS: usize = 20;
/// Where the example serves TLS.
const PORT: u16 = 8443;

/// A lab with server A alone, to be changed before it starts.
fn lab(name: &str) -> LabBuilder {
    Lab::builder(name).without_server("B").without_server("gateway").caches(0)
}

/// Loads the example; ./test builds it before.
fn load(a: &Asterisk) -> Result<()> {
    let look = Lab::built_module()?.with_file_name("examples").join("liblook.so");
    a.install_module("look.so", &look)?;
    let answer = a.cli("module load look.so")?;
    ensure!(answer.contains("Loaded"), "{answer}");
    Ok(())
}

/// The value behind `key: ` in what a command prints.
fn value<'a>(printed: &'a str, key: &str) -> Result<&'a str> {
    let mut lines = printed.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(name, _)| *name == key);
    Ok(found.with_context(|| format!("no '{key}' in: {printed}"))?.1)
}

#[test]
fn a_module_sees_what_asterisk_says_of_itself_and_which_modules_there_are() -> Result<()> {
    let lab = lab("look-system")
        .server("A", |server| {
            server.replace("asterisk.conf", "[options]", "[options]\nmaxcalls = 77")
        })
        .start()?;
    let a = lab.a();
    load(a)?;
    let system = a.cli("look system")?;
    assert!(value(&system, "version")?.starts_with("22."), "{system}");
    assert_eq!(value(&system, "booted")?, "true");
    assert_eq!(value(&system, "ending")?, "false");
    assert_eq!(value(&system, "at most")?, "77");
    assert_eq!(value(&system, "calls")?, "0 now, 0 in all");
    assert!(value(&system, "socket")?.ends_with("/run/asterisk.ctl"), "{system}");
    let seconds = |key| -> Result<u64> {
        Ok(value(&a.cli("look system")?, key)?.trim_end_matches(" s").parse()?)
    };
    assert!(seconds("up")? < 600 && seconds("up")? >= seconds("reloaded")?, "{system}");

    // A reload is what makes the two differ.
    wait_until("it has been up for two seconds", SOON, &a.log(), || {
        Ok(seconds("up").is_ok_and(|up| up >= 2))
    })?;
    a.cli("module reload pbx_config.so")?;
    assert!(seconds("reloaded")? < seconds("up")?);

    let modules = a.cli("look modules")?;
    let line = |name: &str| modules.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    // The command that asks uses it.
    assert_eq!(line("look.so"), "look.so runs, used by 1, Extended: Looks around");
    assert!(line("chan_pjsip.so").contains(" runs, "), "{modules}");
    assert!(line("chan_pjsip.so").contains("Core: PJSIP Channel Driver"), "{modules}");
    let shown = a.cli("module show")?;
    let count = format!("\n{} modules loaded", modules.lines().count());
    assert!(shown.contains(&count), "{count}: {shown}");
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn an_unload_is_refused_rather_than_stuck_where_a_thread_waits_for_the_loader() -> Result<()> {
    let lab = lab("look-gate").start()?;
    let a = lab.a();
    for _ in 0..UNLOADS {
        load(a)?;
        a.cli("look watch")?;
        // Refused while the thread is inside, which it is for a moment every few milliseconds.
        wait_until("it is unloaded", SOON, &a.log(), || {
            let answer = a.cli("module unload look.so")?;
            Ok(answer.contains("Unloaded"))
        })?;
        assert!(!a.maps_contains("look.so")?);
    }
    Ok(())
}

#[test]
fn a_call_and_its_phones_are_seen_while_they_talk_and_not_afterwards() -> Result<()> {
    let lab = lab("look-call").start()?;
    let a = lab.a();
    load(a)?;
    let desk = lab.phone("200").start()?;
    desk.register_at(a, MINUTE)?;
    let caller = lab.phone("202").start()?;
    caller.register_at(a, MINUTE)?;
    let radio = lab.iax_phone("201")?;
    radio.register_at(a)?;
    assert_eq!(a.cli("look channels")?.trim(), "");

    caller.dial(a, "200")?;
    desk.wait_established(SOON)?;
    // What Asterisk publishes comes a moment after what it does.
    let channels = wait_for("both channels talk in a bridge", SOON, &a.log(), || {
        let channels = a.cli("look channels")?;
        let talks = |line: &str| line.contains("state: Up") && !line.contains("bridge: \"\"");
        Ok(channels.lines().all(talks).then_some(channels))
    })?;
    assert_eq!(channels.lines().count(), 2, "{channels}");
    let line = |name: &str| channels.lines().find(|line| line.contains(name)).unwrap_or_default();
    let (from, to) = (line("name: \"PJSIP/202-"), line("name: \"PJSIP/200-"));
    for part in [
        "state: Up",
        "tech: \"PJSIP\"",
        "context: \"from-tandem\"",
        "extension: \"200\"",
        "application: \"Dial\"",
        "internal: false",
        "caller: Party { number: \"202\", name: \"202\" }",
    ] {
        assert!(from.contains(part), "no {part} in {from}");
    }
    let field = |line: &str, name: &str| -> String {
        let start = line.find(name).map_or(0, |at| at + name.len());
        line[start..].split('"').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(field(from, "linked_id: "), field(to, "linked_id: "));
    assert_eq!(field(from, "linked_id: "), field(from, "unique_id: "));
    assert_ne!(field(from, "unique_id: "), field(to, "unique_id: "));
    assert!(a.cli("look system")?.contains("channels: 2\ncalls: 1 now, 1 in all\n"));

    let endpoints = a.cli("look endpoints")?;
    let endpoint = |tech: &str, name: &str| {
        let wanted = format!("Endpoint {{ tech: \"{tech}\", resource: \"{name}\", ");
        endpoints.lines().find(|line| line.starts_with(&wanted)).unwrap_or_default()
    };
    let busy = format!("state: Online, channels: [\"{}\"]", field(from, "unique_id: "));
    assert!(endpoint("PJSIP", "202").contains(&busy), "{endpoints}");
    assert!(endpoint("PJSIP", "203").contains("state: Offline, channels: []"), "{endpoints}");
    assert!(endpoint("IAX2", "201").contains("state: Online, channels: []"), "{endpoints}");
    let contact = |tech: &str, name: &str| {
        let wanted = format!("Contact {{ tech: \"{tech}\", resource: \"{name}\", ");
        endpoints.lines().find(|line| line.starts_with(&wanted)).unwrap_or_default()
    };
    let sip = contact("PJSIP", "200");
    assert!(
        sip.contains(&format!("@{}:", desk.address())) && sip.contains("expires: Some"),
        "{sip}"
    );
    assert!(sip.contains("user_agent: \"baresip"), "{sip}");
    let iax = contact("IAX2", "201");
    let address = radio.asterisk().address();
    assert!(iax.contains(&format!("address: \"{address}:4569\"")), "{iax}");

    caller.hang_up()?;
    wait_until("no channel is left", SOON, &a.log(), || {
        Ok(a.cli("look channels")?.trim().is_empty())
    })?;
    Ok(())
}

#[test]
fn security_events_are_in_the_log_and_no_name_can_forge_a_field_of_them() -> Result<()> {
    let lab = lab("look-security")
        .server("A", |server| {
            server.load("res_security_log").replace(
                "logger.conf",
                "verbose(3)",
                "verbose(3),security",
            )
        })
        .start()?;
    let a = lab.a();
    load(a)?;
    let events = [
        ("acl", "FailedACL", "ACLName=\"look\""),
        ("account", "InvalidAccountID", ""),
        ("password", "InvalidPassword", ""),
        ("limit", "SessionLimit", ""),
        ("request", "RequestNotAllowed", "RequestType=\"look\""),
        ("success", "SuccessfulAuth", "UsingPassword=\"1\""),
    ];
    for (word, name, part) in events {
        a.cli(&format!("look report {word} bob 192.0.2.1:8011 [2001:db8::7]:4711"))?;
        a.wait_log(&format!("SecurityEvent=\"{name}\""), SOON)?;
        let log = a.log_text()?;
        let line = log.lines().find(|line| line.contains(name)).unwrap_or_default();
        for wanted in [
            "Service=\"LOOK\"",
            "AccountID=\"bob\"",
            "Module=\"look\"",
            "SessionTV=\"",
            part,
            "LocalAddress=\"IPV4/TLS/192.0.2.1/8011\"",
            "RemoteAddress=\"IPV6/TLS/2001:db8::7/4711\"",
        ] {
            assert!(line.contains(wanted), "no {wanted} in {line}");
        }
    }
    // A console's line cannot hold a line's end; a quotation mark and a tab-like byte it can.
    let account = "eve\\\",RemoteAddress=\\\"IPV4/TLS/192.0.2.66/1";
    a.cli(&format!("look report password {account} 192.0.2.1:8011 192.0.2.9:4711"))?;
    a.wait_log("RemoteAddress=\"IPV4/TLS/192.0.2.9/4711\"", SOON)?;
    let log = a.log_text()?;
    let line = log.lines().find(|line| line.contains("AccountID=\"eve")).context("a line")?;
    assert!(
        line.contains("AccountID=\"eve\\x22,RemoteAddress=\\x22IPV4/TLS/192.0.2.66/1\""),
        "{line}"
    );
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn tls_is_spoken_without_blocking_and_leaves_nothing_mapped() -> Result<()> {
    let lab = lab("look-tls").start()?;
    let a = lab.a();
    load(a)?;
    let address = SocketAddr::from((a.address(), PORT));
    let identity = Identity::make(IpAddr::V4(a.address()))?;
    a.write_file("look.pem", identity.pem())?;
    let system = a.cli("look system")?;
    let file = format!("{}/look.pem", value(&system, "configuration")?);

    let answer = a.cli(&format!("look serve {address} {file}.missing"))?;
    assert!(answer.contains("does not take the certificate"), "{answer}");
    let answer = a.cli(&format!("look serve {address} {file}"))?;
    assert_eq!(answer.trim(), "");

    let mut client = identity.connect(address)?;
    let sent = "a whole megabyte of it, ".repeat(1024 * 1024 / 24);
    let mut echo = vec![0; sent.len()];
    // The other side reads a part, and writes it: so must this.
    for (part, back) in sent.as_bytes().chunks(4096).zip(echo.chunks_mut(4096)) {
        client.write_all(part)?;
        client.read_exact(back)?;
    }
    assert!(echo == sent.to_uppercase().into_bytes());
    client.write_all(b"bye")?;
    let mut rest = String::new();
    // An end without a farewell would be an error here.
    client.read_to_string(&mut rest)?;
    assert_eq!(rest, "BYE");

    // Who does not speak TLS is told so, and others go on being served.
    let mut plain = TcpStream::connect(address)?;
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
    a.wait_log("the other side of TLS: http request", SOON)?;
    drop(plain);
    // One that goes without a word has gone, and is no error.
    drop(TcpStream::connect(address)?);
    a.wait_log("the other side of TLS: the connection was closed", SOON)?;
    let mut client = identity.connect(address)?;
    client.write_all(b"still there")?;
    let mut echo = [0; 11];
    client.read_exact(&mut echo)?;
    assert_eq!(&echo, b"STILL THERE");

    // With that connection open.
    let answer = a.cli("module unload look.so")?;
    assert!(answer.contains("Unloaded"), "{answer}");
    assert!(!a.maps_contains("look.so")?);
    let is_gone = client.read(&mut [0; 1]).is_err();
    assert!(is_gone, "the connection is closed, and nobody said farewell");
    Ok(())
}
