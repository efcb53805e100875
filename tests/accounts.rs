//! Who may do what at the hub: users, sessions, tokens, one-time codes, addresses.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tandem_lab::{Api, Hub, Lab, wait_until};
use tandem_tests::hub::{PASSWORD, SOON, text, with_users, wrong_code};
use totp_rs::{Builder, Secret};

/// As many connections as an address may have, with half a request on each.
#[test]
fn whoever_has_not_said_who_they_are_gives_way_to_the_next() -> Result<()> {
    let lab = Lab::builder("hub-crowd").without_server("A").without_server("B");
    let lab = lab.without_server("gateway").caches(0).start()?;
    let hub = with_users(lab.hub().start()?)?;
    let api = hub.log_in("vera", PASSWORD)?;
    let seq = api.get("/api/state")?["seq"].as_u64().context("a sequence")?;
    let events = api.events(seq)?;
    let url = hub.url();
    let address = url.strip_prefix("http://").context("an address")?;
    let half = || -> Result<TcpStream> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n")?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let read = |stream: &mut TcpStream| stream.read(&mut [0]).map_err(|error| error.kind());
    const CROWD: usize = 300;
    const OF_ADDRESS_MAX: usize = 256;
    let mut crowd = (0..CROWD).map(|_| half()).collect::<Result<Vec<_>>>()?;
    let mut ended = || {
        let is_open = |stream: &mut TcpStream| matches!(read(stream), Err(ErrorKind::WouldBlock));
        crowd.iter_mut().filter_map(|stream| (!is_open(stream)).then_some(())).count()
    };
    // Without a request they would end by themselves after 15 s, all of them.
    wait_until("those that came first give way", Duration::from_secs(10), hub.log(), || {
        Ok(ended() >= CROWD - OF_ADDRESS_MAX)
    })?;
    assert_eq!(hub.anonymous().ask("GET", "/healthz", None)?.status, 200);
    ensure!(ended() < CROWD / 2, "the others stay, and {} do not", ended());
    let flooded_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    events.wait("who is known stays", SOON, |name, data| {
        name == "tick" && data["now_ms"].as_u64().is_some_and(|ms| u128::from(ms) > flooded_ms)
    })?;
    hub.log_in("otto", PASSWORD)?;
    Ok(())
}

#[test]
fn logins_are_throttled_and_sessions_end() -> Result<()> {
    let lab = Lab::builder("hub-login").without_server("A").without_server("B");
    let lab = lab.without_server("gateway").caches(0).start()?;
    let hub = with_users(lab.hub().start()?)?;
    let anonymous = hub.anonymous();
    for path in ["/api/state", "/api/events", "/api/variables", "/metrics", "/api/users"] {
        assert_eq!(anonymous.ask("GET", path, None)?.status, 401, "{path}");
    }
    assert_eq!(anonymous.get("/healthz")?, "ok\n");
    let described = anonymous.get("/api/openapi.json")?;
    ensure!(described["paths"]["/api/state"]["get"].is_object(), "{described}");

    let api = hub.log_in("ada", PASSWORD)?;
    let other = hub.log_in("ada", PASSWORD)?;
    let events = other.events(other.get("/api/state")?["seq"].as_u64().context("a sequence")?)?;
    let new = json!({ "old": PASSWORD, "new": "another long password" });
    assert_eq!(api.ask("POST", "/api/password", Some(&new))?.status, 204);
    assert_eq!(other.ask("GET", "/api/session", None)?.status, 401, "the other session has ended");
    events.wait("and its page is told", SOON, |name, _| name == "bye")?;
    assert_eq!(api.ask("GET", "/api/session", None)?.status, 200);

    nobody_follows_without_end(&api)?;
    tokens_have_a_role(&api)?;
    codes_are_asked_for_and_each_is_good_once(&hub)?;
    the_last_administrator_stays(&api)?;

    let wrong = json!({ "user": "vera", "password": "wrong wrong wrong" });
    let right = json!({ "user": "vera", "password": PASSWORD });
    let log_in = |with| anyhow::Ok(anonymous.ask("POST", "/api/login", Some(with))?.status);
    let mut answers = Vec::new();
    // The first waits are short: on a slow machine they are over when the answer is there. Each is twice as long.
    for _ in 0..6 {
        while answers.last() != Some(&429) && answers.len() < 40 {
            answers.push(log_in(&wrong)?);
        }
        // Three wrong ones have come from here before.
        ensure!(answers.len() >= 3 && answers.last() == Some(&429), "{answers:?}");
        answers.push(log_in(&right)?);
        if answers.last() == Some(&429) {
            return Ok(());
        }
    }
    bail!("a right one waits too, or it could be tried out: {answers:?}")
}

fn tokens_have_a_role(api: &Api) -> Result<()> {
    let made = api.post("/api/tokens", &json!({ "name": "prometheus", "role": "viewer" }))?;
    let program = api.with_token(made["token"].as_str().context("a token")?);
    let metrics = program.get("/metrics")?;
    ensure!(metrics.as_str().is_some_and(|text| text.ends_with("# EOF\n")), "{metrics}");
    assert_eq!(program.ask("GET", "/api/users", None)?.status, 403);
    let seq = program.get("/api/state")?["seq"].as_u64().context("a sequence")?;
    let events = program.events(seq)?;
    assert_eq!(api.ask("DELETE", &format!("/api/tokens/{}", made["id"]), None)?.status, 204);
    assert_eq!(program.ask("GET", "/metrics", None)?.status, 401);
    events.wait("what it followed ends", SOON, |name, _| name == "bye")?;
    Ok(())
}

fn codes_are_asked_for_and_each_is_good_once(hub: &Hub) -> Result<()> {
    let api = hub.log_in("otto", PASSWORD)?;
    let password = json!({ "password": PASSWORD });
    let guess = json!({ "password": "wrong wrong wrong" });
    let answer = api.ask("POST", "/api/totp", Some(&guess))?;
    assert_eq!(answer.status, 403, "an open browser is not enough");
    let offer = api.post("/api/totp", &password)?;
    ensure!(offer["qr_svg"].as_str().is_some_and(|svg| svg.contains("<svg")), "{offer}");
    let secret = Secret::try_from_base32(offer["secret"].as_str().context("a secret")?)?;
    let codes = Builder::new().with_secret(secret).with_account_name("otto").build()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let code = |steps: u64| json!({ "code": codes.generate(now + steps * 30).to_string() });
    let wrong = json!({ "code": wrong_code(&codes, now) });
    let wrong = api.ask("POST", "/api/totp/confirm", Some(&wrong))?;
    assert_eq!(wrong.status, 422);
    assert_eq!(api.ask("POST", "/api/totp/confirm", Some(&code(0)))?.status, 204);
    assert_eq!(api.ask("POST", "/api/totp", Some(&password))?.status, 409, "they are on");
    let again = api.ask("POST", "/api/totp/confirm", Some(&code(1)))?;
    assert_eq!(again.status, 422, "what was offered is used up");

    let log_in = |code: &Value| {
        let login = json!({ "user": "otto", "password": PASSWORD, "code": code });
        hub.anonymous().ask("POST", "/api/login", Some(&login))
    };
    // As the console does, and more often than wrong passwords would be let.
    for _ in 0..8 {
        let answer = log_in(&Value::Null)?;
        assert_eq!((answer.status, &answer.body["needs"]), (401, &json!("code")));
    }
    assert_eq!(log_in(&code(0)["code"])?.status, 401, "it was used to turn them on");
    assert_eq!(log_in(&code(1)["code"])?.status, 200, "clocks may differ by a step");
    assert_eq!(log_in(&code(1)["code"])?.status, 401, "it is good once");
    assert_eq!(api.ask("POST", "/api/totp/end", Some(&password))?.status, 204);
    assert_eq!(log_in(&Value::Null)?.status, 200);
    Ok(())
}

fn nobody_follows_without_end(api: &Api) -> Result<()> {
    let seq = api.get("/api/state")?["seq"].as_u64().context("a sequence")?;
    let followed = (0..33).map(|_| api.event_stream(seq)).collect::<Vec<_>>();
    assert!(followed[..32].iter().all(Result::is_ok));
    let Some(Err(refused)) = followed.last() else { anyhow::bail!("there is no end") };
    ensure!(refused.to_string().contains("429"), "{refused}");
    Ok(())
}

fn the_last_administrator_stays(api: &Api) -> Result<()> {
    let viewer = json!({ "role": "viewer" });
    assert_eq!(api.ask("PATCH", "/api/users/ada", Some(&viewer))?.status, 409);
    assert_eq!(api.ask("DELETE", "/api/users/ada", None)?.status, 409);
    assert_eq!(api.ask("PATCH", "/api/users/nobody", Some(&viewer))?.status, 404);
    let bad = api.ask("POST", "/api/users", Some(&json!({ "name": "x" })))?;
    assert_eq!(bad.status, 400);
    ensure!(bad.body["error"].as_str().is_some_and(|it| it.contains("password")), "{bad:?}");
    Ok(())
}

/// Who may do what at least; `None` is anybody. What is not here is a mistake.
fn least_role(operation: &str) -> Option<Option<&'static str>> {
    Some(match operation {
        "post /api/login" | "get /healthz" => None,
        "get /api/session"
        | "post /api/logout"
        | "post /api/password"
        | "post /api/totp"
        | "post /api/totp/confirm"
        | "post /api/totp/end"
        | "get /api/state"
        | "get /api/events"
        | "get /api/history/calls"
        | "get /api/history/peers/{server}/{driver}/{name}"
        | "get /api/variables"
        | "get /api/registrations"
        | "get /metrics"
        | "get /api/servers/{server}/modules" => Some("viewer"),
        "post /api/servers/{server}/hangup"
        | "post /api/servers/{server}/transfer"
        | "post /api/servers/{server}/originate"
        | "post /api/servers/{server}/qualify"
        | "put /api/variables/{name}"
        | "delete /api/variables/{name}" => Some("operator"),
        "get /api/users"
        | "post /api/users"
        | "patch /api/users/{name}"
        | "delete /api/users/{name}"
        | "get /api/tokens"
        | "post /api/tokens"
        | "delete /api/tokens/{id}"
        | "get /api/agents"
        | "post /api/agents"
        | "delete /api/agents/{server}"
        | "get /api/audit" => Some("administrator"),
        _ => return Option::None,
    })
}

#[test]
fn every_operation_is_refused_to_who_has_too_small_a_role() -> Result<()> {
    let lab = Lab::builder("hub-roles").without_server("A").without_server("B");
    let lab = lab.without_server("gateway").caches(0).start()?;
    let hub = with_users(lab.hub().start()?)?;
    let anonymous = hub.anonymous();
    let roles = ["viewer", "operator", "administrator"];
    let asking = [hub.log_in("vera", PASSWORD)?, hub.log_in("otto", PASSWORD)?];
    let described = anonymous.get("/api/openapi.json")?;
    let mut seen = 0;
    for (path, methods) in described["paths"].as_object().context("paths")? {
        for method in methods.as_object().context("methods")?.keys() {
            let operation = format!("{method} {path}");
            let least = least_role(&operation).with_context(|| format!("who may {operation}?"))?;
            let Some(least) = least else { continue };
            seen += 1;
            let asked = path.replace("{id}", "1").replace(['{', '}'], "");
            let body = json!({});
            let body = Some(&body).filter(|_| method != "get" && method != "delete");
            let ask = |api: &Api| -> Result<_> {
                Ok(api.ask(&method.to_uppercase(), &asked, body)?.status)
            };
            assert_eq!(ask(&anonymous)?, 401, "{operation}");
            let least = roles.iter().position(|role| *role == least).context("a role")?;
            for (api, role) in asking.iter().zip(roles).take(least) {
                assert_eq!(ask(api)?, 403, "{operation} as {role}");
            }
        }
    }
    ensure!(seen > 25, "{seen} operations");
    let empty = hub.log_in("ada", PASSWORD)?.ask("PUT", "/api/users", None)?;
    assert_eq!(empty.status, 405);
    ensure!(empty.body["error"].is_string(), "{empty:?}");
    let large = json!({ "user": "x".repeat(100_000), "password": "" });
    let answer = anonymous.ask("POST", "/api/login", Some(&large))?;
    assert_eq!(answer.status, 413);
    ensure!(answer.body["error"].is_string(), "{answer:?}");
    Ok(())
}

#[test]
fn who_may_connect_is_decided_before_anything_is_read() -> Result<()> {
    let lab = Lab::builder("hub-acl").without_server("A").without_server("B");
    let lab = lab.without_server("gateway").caches(0).start()?;
    let rules = |rules: &str| format!("acl = [{rules}]");
    let permits = rules("\"deny 127.0.0.9\", \"permit 127.0.0.1\"");
    let hub = lab.hub().setting(&permits).start()?;
    assert_eq!(hub.anonymous().get("/healthz")?, "ok\n");
    hub.stop();
    // The order decides, and what no rule matches is denied.
    for denies in ["\"deny 127.0.0.0/8\", \"permit 127.0.0.1\"", "\"permit 10.0.0.0/8\""] {
        hub.configure(|config| {
            let others = config.lines().filter(|line| !line.starts_with("acl"));
            rules(denies) + "\n" + &others.collect::<Vec<_>>().join("\n")
        })?;
        let mark = text(hub.log()).len();
        hub.start()?;
        let refused = hub.anonymous().get("/healthz");
        ensure!(refused.is_err(), "{denies}: {refused:?}");
        wait_until("the log says why", SOON, hub.log(), || {
            Ok(text(hub.log())[mark..].contains("127.0.0.1 is not let in: `acl`"))
        })?;
        hub.stop();
    }
    Ok(())
}
