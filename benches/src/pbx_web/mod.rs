//! `./bench pbx_web`: the web server inside Asterisk beside Asterisk's own, in one and the same process.
//!
//! Both answer a program that sends name and password along (Basic) on connections that stay open: ours with the
//! state of Asterisk (`/api/status`), theirs with ARI's (`/ari/asterisk/info`). Asterisk is on the servers' core, the
//! client is this program on its own. Told beside it, with no goal: the list of channels.

mod load;

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tandem_lab::{Asterisk, Lab};

use crate::Options;
use crate::cpu;
use crate::report::{Goal, Pairs, Report, Table};
use crate::stats::Side;
use load::Load;

/// Connections with a request on its way.
const CONNECTIONS: usize = 16;
/// Requests of a run.
const REQUESTS: usize = 4000;
/// Where ours listens, and theirs.
const PORT: u16 = 8011;
const ARI_PORT: u16 = 8088;
/// Who asks, of both.
const USER: &str = "bench";
const ARI_PASSWORD: &str = "bench-secret";

const HTTP: &str = "[general]\nenabled = yes\nbindaddr = @ADDRESS@\nbindport = 8088\nsessionlimit = 100\n\
                    session_keep_alive = 60000\n";
const ARI: &str =
    "[general]\nenabled = yes\n\n[bench]\ntype = user\nread_only = no\npassword = bench-secret\n";

/// Measures all figures of the bench.
///
/// # Errors
///
/// If a server does not start, or answers something else than it should.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = Report::new("pbx_web")?;
    cpu::pin_thread(0, options.client)?;
    let lab = Lab::builder("bench-pbx-web")
        .without_server("B")
        .without_server("gateway")
        .caches(0)
        .server("A", |server| {
            let modules =
                ["res_http_websocket", "res_websocket_client", "res_stasis", "res_ari_model"];
            let server = modules.into_iter().fold(server, |server, module| server.load(module));
            let server = server.load("res_ari").load("res_ari_asterisk");
            server.file("http.conf", HTTP).file("ari.conf", ARI)
        })
        .start()?;
    let a = lab.a();
    let password = open(a)?;
    cpu::pin_process(a.pid()?, options.servers)?;
    let load = |port, path, password| {
        Load::connect(SocketAddr::from((a.address(), port)), path, (USER, password), CONNECTIONS)
    };
    for (name, path, goal) in [
        ("pbx_web_status_ratio", "/api/status", Goal::AtLeast(1.0)),
        ("pbx_web_channels_ratio", "/api/channels", Goal::None),
    ] {
        if options.wants(name) {
            let ours = load(PORT, path, password.as_str())?;
            let theirs = load(ARI_PORT, "/ari/asterisk/info", ARI_PASSWORD)?;
            let table = report.table(name, "pair,place,side,microseconds")?;
            rate(&report, options, (name, goal), a, table, [ours, theirs])?;
        }
    }
    println!("  runs: {}", report.folder().display());
    Ok(())
}

/// Loads the module, and opens it to this machine. Gives the password that it has made.
fn open(a: &Asterisk) -> Result<String> {
    let module = Lab::built_module()?.with_file_name("libpbx_web.so");
    a.install_module("pbx_web.so", &module)?;
    a.cli("module load pbx_web.so")?;
    let printed = a.cli(&format!("pbx_web passwd {USER}"))?;
    let line = |start: &str| printed.lines().find_map(|line| line.strip_prefix(start));
    let (password, user) = line("    ").zip(line("adminuser = ")).context("a user")?;
    let bind = a.address();
    a.write_file(
        "pbx_web.conf",
        &format!(
            "[general]\nbind = {bind}\n[users]\nadminuser = {user}\n[acl]\npermit = 127.0.0.0/8\n"
        ),
    )?;
    let answer = a.cli("module reload pbx_web.so")?;
    ensure!(answer.contains("reloaded successfully"), "{answer}");
    Ok(password.to_owned())
}

/// Requests a second, ours over theirs.
fn rate(
    report: &Report,
    options: &Options,
    (name, goal): (&str, Goal),
    a: &Asterisk,
    mut table: Table,
    [mut ours, mut theirs]: [Load; 2],
) -> Result<()> {
    let mut processor = [0.0_f64; 2];
    let pairs = Pairs::run(options.pairs, &mut table, |side| {
        let load = if side == Side::Ours { &mut ours } else { &mut theirs };
        let before = cpu::time_used(a.pid()?)?;
        let took = load.run(REQUESTS)?;
        let used = cpu::time_used(a.pid()?)? - before;
        processor[usize::from(side == Side::Theirs)] += used.as_secs_f64() * 1e6 / REQUESTS as f64;
        Ok(took.as_secs_f64() * 1e6 / REQUESTS as f64)
    })?;
    let [ours, theirs] = processor.map(|sum| sum / options.pairs as f64);
    let note = format!(
        "{CONNECTIONS} connections; {}; processor time of Asterisk for each request: ours {ours:.1} us, \
         theirs {theirs:.1} us",
        pairs.note("us")
    );
    report.median(name, "ratio", goal, pairs.theirs_over_ours(), &note)
}
