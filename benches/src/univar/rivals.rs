//! What a user would take instead: PostgreSQL behind func_odbc, and nginx behind CURL().
//!
//! Both are set up as a careful user sets them up, in a folder of their own, as nobody, on a loopback address.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tandem_lab::ServerConfig;

use crate::child::{self, NOBODY, Running};
use crate::cpu::Core;

/// PostgreSQL's standard port.
const POSTGRES_PORT: u16 = 5432;
/// nginx, for HTTP without TLS.
const NGINX_PORT: u16 = 8080;
/// How long either may take to listen.
const START_WITHIN: Duration = Duration::from_secs(20);
/// Rows beside the one that is read, so that the index is one.
const OTHER_ROWS: u32 = 10_000;

/// A folder that nobody may use, removed with all that is in it at the end.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it in the machine's folder for temporary files: those of the lab are root's alone.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub(crate) fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("tandem-bench-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        let scratch = Self(folder);
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755))?;
        chown(&scratch.0, Some(NOBODY), Some(NOBODY))?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

/// PostgreSQL with the table `univar`; `key` has `value` in it.
///
/// # Errors
///
/// If it cannot be set up.
pub(crate) fn start_postgres(
    scratch: &Scratch,
    address: Ipv4Addr,
    core: Core,
    (key, value): (&str, &str),
    log: &Path,
) -> Result<Running> {
    let bin = newest_postgres()?;
    let data = scratch.0.join("postgres");
    let as_nobody = |program: &str, first: &[&str]| {
        let mut command = Command::new(bin.join(program));
        command.uid(NOBODY).gid(NOBODY).current_dir(&scratch.0);
        command.args(first).arg("-D").arg(&data);
        command
    };
    let mut initdb = as_nobody("initdb", &[]);
    initdb.args(["-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    child::run(initdb, "")?;
    fs::write(data.join("pg_hba.conf"), "host all all 127.0.0.0/8 trust\n")?;
    // It must come first.
    let mut single = as_nobody("postgres", &["--single"]);
    single.args(["-c", "exit_on_error=true", "postgres"]);
    child::run(
        single,
        &format!(
            "CREATE TABLE univar (name text PRIMARY KEY, value text NOT NULL)\n\
             INSERT INTO univar SELECT 'OTHER_' || n, 'x' FROM generate_series(1, {OTHER_ROWS}) n\n\
             INSERT INTO univar VALUES ('{key}', '{value}')\n\
             VACUUM ANALYZE univar\n"
        ),
    )?;
    let mut server = as_nobody("postgres", &[]);
    server.args(["-h", &address.to_string(), "-p", &POSTGRES_PORT.to_string()]);
    // No socket file: its folder belongs to the machine's own PostgreSQL.
    server.args(["-k", "", "-c", "shared_buffers=128MB", "-c", "autovacuum=off"]);
    // SIGINT is its "fast shutdown".
    let mut running = Running::start(server, core, libc::SIGINT, log)?;
    running.wait_ready(START_WITHIN, || listens(address, POSTGRES_PORT))?;
    Ok(running)
}

/// Debian keeps each version's programs in a folder of its own.
fn newest_postgres() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let bins = versions.flatten().map(|version| version.path().join("bin"));
    let version =
        |bin: &PathBuf| -> Option<u32> { bin.parent()?.file_name()?.to_str()?.parse().ok() };
    bins.filter(|bin| bin.join("initdb").exists())
        .max_by_key(version)
        .context("there is no initdb below /usr/lib/postgresql")
}

/// Asterisk's side: res_odbc with connections that it keeps, func_odbc with the key escaped.
pub(crate) fn with_odbc(config: ServerConfig, driver: &str, address: Ipv4Addr) -> ServerConfig {
    let odbc_ini = format!(
        "[bench]\nDriver = {driver}\nServername = {address}\nPort = {POSTGRES_PORT}\n\
         Database = postgres\nUsername = bench\nSSLmode = disable\nReadOnly = No\n"
    );
    config
        .file("odbc.ini", &odbc_ini)
        .file("odbcinst.ini", "")
        .file(
            "res_odbc.conf",
            "[bench]\nenabled => yes\ndsn => bench\nusername => bench\npre-connect => yes\n\
             max_connections => 5\n",
        )
        .file(
            "func_odbc.conf",
            "[UNIVAR]\ndsn = bench\n\
             readsql = SELECT value FROM univar WHERE name = '${SQL_ESC(${ARG1})}'\n",
        )
        .load("res_odbc")
        .load("res_odbc_transaction")
        .load("func_odbc")
}

/// nginx with one worker; the file `key` is `value`, and /accepted tells how many connections there were.
///
/// # Errors
///
/// If it does not start.
pub(crate) fn start_nginx(
    scratch: &Scratch,
    address: Ipv4Addr,
    core: Core,
    (key, value): (&str, &str),
    log: &Path,
) -> Result<Running> {
    let folder = scratch.0.join("nginx");
    let www = folder.join("www");
    fs::create_dir_all(&www)?;
    fs::write(www.join(key), value)?;
    chown(&folder, Some(NOBODY), Some(NOBODY))?;
    let at = folder.display();
    let conf = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; tcp_nodelay on; keepalive_timeout 600s; keepalive_requests 100000000;\n\
         open_file_cache max=100 inactive=1h; open_file_cache_valid 1h;\n\
         client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;\n\
         uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
         server {{ listen {address}:{NGINX_PORT}; root {at}/www;\n\
         location = /accepted {{ stub_status; }} }} }}\n"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, conf)?;
    let mut nginx = Command::new("nginx");
    nginx.uid(NOBODY).gid(NOBODY).arg("-c").arg(&path).arg("-p").arg(&folder);
    nginx.arg("-e").arg(folder.join("error.log"));
    let mut running = Running::start(nginx, core, libc::SIGTERM, log)?;
    running.wait_ready(START_WITHIN, || listens(address, NGINX_PORT))?;
    Ok(running)
}

/// Connections that nginx has accepted, and requests on them.
///
/// # Errors
///
/// If it does not tell.
pub(crate) fn nginx_accepted(address: Ipv4Addr) -> Result<(u64, u64)> {
    use std::io::{Read as _, Write as _};
    let mut stream = TcpStream::connect((address, NGINX_PORT))?;
    stream.set_read_timeout(Some(START_WITHIN))?;
    stream.write_all(b"GET /accepted HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let numbers = text.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1);
    let numbers: Vec<u64> =
        numbers.unwrap_or_default().split_whitespace().flat_map(str::parse).collect();
    ensure!(numbers.len() == 3, "nginx says '{text}'");
    Ok((numbers[0], numbers[2]))
}

/// The URL of `key`.
pub(crate) fn nginx_url(address: Ipv4Addr, key: &str) -> String {
    format!("http://{address}:{NGINX_PORT}/{key}")
}

fn listens(address: Ipv4Addr, port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((address, port)), Duration::from_secs(1)).is_ok()
}
