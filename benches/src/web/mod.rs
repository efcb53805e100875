//! `./bench web`: the web server inside Asterisk, beside Asterisk's own, and what calls feel of it.
//!
//! One Asterisk on the servers' core has both web servers; who asks them, and sipp, are on the clients' core.

mod calls;
mod load;

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use tandem_lab::{Asterisk, Lab, ServerConfig};

use crate::Options;
use crate::cpu;
use crate::report::{Goal, Pairs, Report};
use crate::stats::Side;
use load::{Load, Target};

/// Connections with a request on its way.
const CONNECTIONS: usize = 8;
/// Runs that are not counted: files are read, memory is had.
const WARM_UP: usize = 3;
const PORT: u16 = 8011;
const ARI_PORT: u16 = 8088;
const USER: &str = "bench";
const ARI_SECRET: &str = "bench-secret";
/// An endpoint without a password.
const CALLER: u32 = 10_000;
/// It answers at once.
const EXTENSION: &str = "960";

/// Asterisk's own web server and what ARI is made of.
const ARI_MODULES: [&str; 6] = [
    "res_http_websocket",
    "res_websocket_client",
    "res_stasis",
    "res_ari_model",
    "res_ari",
    "res_ari_asterisk",
];

/// Measures all figures of the bench.
///
/// # Errors
///
/// If a server does not start, or answers something else than it should.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = Report::new("web")?;
    let (lab, password) = start()?;
    cpu::pin_process(lab.a().pid()?, options.servers)?;
    cpu::pin_thread(0, options.client)?;
    let authorization = basic(USER, &password);
    let ours = |path| Target {
        address: SocketAddr::from((lab.a().address(), PORT)),
        path,
        authorization: authorization.clone(),
    };
    if options.wants("web_rps_over_ari") {
        rate(&report, options, [&ours("/api/status"), &ari(lab.a())])?;
    }
    if options.wants("web_call_setup_delta_ms") {
        calls::run(&report, options, &lab, &ours)?;
    }
    println!("  runs: {}", report.folder().display());
    Ok(())
}

/// A server with both, and the password for ours.
fn start() -> Result<(Lab, String)> {
    let user = attendant::new_user(USER, attendant::Role::Admin, None)?;
    let password = user.password.context("a password was made")?;
    let server = |config: ServerConfig| {
        let http =
            format!("[general]\nenabled = yes\nbindaddr = @ADDRESS@\nbindport = {ARI_PORT}\n");
        let ari = format!(
            "[general]\nenabled = yes\n[{USER}]\ntype = user\nread_only = yes\npassword = {ARI_SECRET}\n"
        );
        let answers =
            format!("exten => {EXTENSION},1,Answer()\n same => n,Wait(5)\n same => n,Hangup()\n");
        let config = config.pjsip_many(CALLER, 1).append("extensions.conf", &answers);
        let web = format!(
            "[general]\nport = {PORT}\nbind = @ADDRESS@\n[users]\n{}\n[acl]\npermit = 127.0.0.0/8\n",
            user.line
        );
        let config =
            config.file("http.conf", &http).file("ari.conf", &ari).file("pbx_web.conf", &web);
        ARI_MODULES.iter().fold(config, |config, module| config.load(module))
    };
    let lab = Lab::builder("bench-web").without_server("B").without_server("gateway").caches(0);
    let lab = lab.server("A", server).start()?;
    let module = Lab::built_module()?.with_file_name("libpbx_web.so");
    lab.a().install_module("pbx_web.so", &module)?;
    let loaded = lab.a().cli("module load pbx_web.so")?;
    ensure!(loaded.contains("Loaded pbx_web.so"), "{loaded}");
    Ok((lab, password))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

/// What Asterisk's own web server says of Asterisk.
fn ari(server: &Asterisk) -> Target {
    Target {
        address: SocketAddr::from((server.address(), ARI_PORT)),
        path: "/ari/asterisk/info",
        authorization: basic(USER, ARI_SECRET),
    }
}

/// Requests a second, ours over Asterisk's own.
fn rate(report: &Report, options: &Options, targets: [&Target; 2]) -> Result<()> {
    let name = "web_rps_over_ari";
    let connect = |target: &Target| -> Result<_> {
        let mut load = Load::connect(target, CONNECTIONS)?;
        for _ in 0..WARM_UP {
            load.run().with_context(|| format!("{} {}", target.address, target.path))?;
        }
        Ok(load)
    };
    let (mut ours, mut theirs) = (connect(targets[0])?, connect(targets[1])?);
    let mut table = report.table(name, "pair,place,side,microseconds")?;
    let pairs = Pairs::run(options.pairs, &mut table, |side| match side {
        Side::Ours => ours.run(),
        Side::Theirs => theirs.run(),
    })?;
    let note =
        format!("{CONNECTIONS} connections, Basic authentication; {}", pairs.note("us a request"));
    report.median(name, "ratio", Goal::AtLeast(1.0), pairs.theirs_over_ours(), &note)
}
