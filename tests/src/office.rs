//! `pbx_web` in a server of the lab, as an operator sets it up: users made in the CLI, the file, a reload.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tandem_lab::{Asterisk, Lab, LabBuilder, wait_for, wait_until};

use crate::SOON;
use crate::tls::Identity;
use crate::web::Web;

/// The port of the pages, unless said otherwise.
pub const WEB_PORT: u16 = 8011;

/// The module's file.
const MODULE: &str = "pbx_web.so";

/// A server's `pbx_web`, with an administrator and a viewer.
#[derive(Debug)]
pub struct Office<'lab> {
    server: &'lab Asterisk,
    admin: User,
    viewer: User,
    identity: Option<Arc<Identity>>,
}

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Their name.
    pub name: String,
    /// Their password.
    pub password: String,
    /// Their line of the file.
    line: String,
}

impl<'lab> Office<'lab> {
    /// A lab with server A alone, and no cache: all that an office needs.
    pub fn lab(name: &str) -> LabBuilder {
        Lab::builder(name).without_server("B").without_server("gateway").caches(0)
    }

    /// Loads the module, which serves nobody yet, and makes users.
    ///
    /// # Errors
    ///
    /// If the module has not been built, or does not load.
    pub fn found(server: &'lab Asterisk) -> Result<Self> {
        let module = Lab::built_module()?.with_file_name("libpbx_web.so");
        server.install_module(MODULE, &module)?;
        load(server)?;
        let (admin, viewer) =
            (User::make(server, "root", "admin")?, User::make(server, "anna", "viewer")?);
        Ok(Self { server, admin, viewer, identity: None })
    }

    /// The same, open for everybody on this machine.
    ///
    /// # Errors
    ///
    /// As [`Self::found`].
    pub fn open(server: &'lab Asterisk) -> Result<Self> {
        let office = Self::found(server)?;
        office.configure("", "permit = 127.0.0.0/8\n")?;
        Ok(office)
    }

    /// Writes the file, with more lines for `[general]` and these for `[acl]`, and has it read.
    ///
    /// # Errors
    ///
    /// If it has a mistake in it.
    pub fn configure(&self, general: &str, acl: &str) -> Result<()> {
        self.configure_at(&self.server.address().to_string(), general, acl)
    }

    /// The same, listening at `bind`.
    ///
    /// # Errors
    ///
    /// As [`Self::configure`].
    pub fn configure_at(&self, bind: &str, general: &str, acl: &str) -> Result<()> {
        let users = format!("{}\n{}", self.admin.line, self.viewer.line);
        self.write(&format!(
            "[general]\nbind = {bind}\n{general}\n[users]\n{users}\n[acl]\n{acl}"
        ))?;
        self.reload()
    }

    /// Writes the file as it is.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, text: &str) -> Result<()> {
        Ok(self.server.write_file("pbx_web.conf", text)?)
    }

    /// Has the file read.
    ///
    /// # Errors
    ///
    /// If it has a mistake in it.
    pub fn reload(&self) -> Result<()> {
        let answer = self.server.cli(&format!("module reload {MODULE}"))?;
        ensure!(answer.contains("reloaded successfully"), "{answer}");
        Ok(())
    }

    /// From now on the server is asked over TLS, and must be this one.
    pub fn over_tls(&mut self, identity: &Arc<Identity>) {
        self.identity = Some(Arc::clone(identity));
    }

    /// Loads the module again.
    ///
    /// # Errors
    ///
    /// If it does not load.
    pub fn load(&self) -> Result<()> {
        load(self.server)
    }

    /// Unloads the module, however often that is refused because somebody is inside just now.
    ///
    /// # Errors
    ///
    /// If it is refused for longer than a moment.
    pub fn unload(&self) -> Result<()> {
        wait_until("pbx_web is unloaded", SOON, &self.server.log(), || {
            Ok(self.server.cli(&format!("module unload {MODULE}"))?.contains("Unloaded"))
        })?;
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.server.address(), WEB_PORT))
    }

    /// Nobody in particular.
    pub fn web(&self) -> Web {
        let web = Web::at(self.address());
        match &self.identity {
            Some(identity) => web.over_tls(identity),
            None => web,
        }
    }

    /// The administrator.
    pub fn admin(&self) -> &User {
        &self.admin
    }

    /// The viewer.
    pub fn viewer(&self) -> &User {
        &self.viewer
    }

    /// A program that sends the administrator's password along.
    pub fn as_admin(&self) -> Web {
        self.admin.basic(self.web())
    }

    /// A program that sends the viewer's password along.
    pub fn as_viewer(&self) -> Web {
        self.viewer.basic(self.web())
    }

    /// Runs a CLI command through the pages, and gives what it printed.
    ///
    /// # Errors
    ///
    /// If it is refused, or does not end.
    pub fn run(&self, command: &str) -> Result<String> {
        let admin = self.as_admin();
        let begun = admin.post("/api/console", &json!({ "command": command }))?;
        ensure!(begun.status == 202, "{begun:?}");
        let begun: Value = serde_json::from_str(&begun.body)?;
        let path = format!("/api/console/{}", begun["id"]);
        let ended = wait_for("a command ends", SOON, &self.server.log(), || {
            let now = admin.get(&path).ok().and_then(|reply| reply.json().ok());
            Ok(now.filter(|now| now["running"] == false))
        })?;
        Ok(ended["output"].as_str().context("an output")?.to_owned())
    }
}

impl User {
    fn make(server: &Asterisk, name: &str, role: &str) -> Result<Self> {
        let printed = server.cli(&format!("pbx_web passwd {name} {role}"))?;
        let mut lines = printed.lines();
        let password =
            lines.find_map(|line| line.strip_prefix("    ")).with_context(|| printed.clone())?;
        let line =
            lines.find(|line| line.contains("$argon2id$")).with_context(|| printed.clone())?;
        Ok(Self {
            name: name.to_owned(),
            password: password.trim().to_owned(),
            line: line.to_owned(),
        })
    }

    /// Sends name and password along with each request.
    pub fn basic(&self, web: Web) -> Web {
        self.claims(web, &self.password)
    }

    /// The same with a password that may be another.
    pub fn claims(&self, web: Web, password: &str) -> Web {
        let pair = BASE64_STANDARD.encode(format!("{}:{password}", self.name));
        web.with("Authorization", &format!("Basic {pair}"))
    }
}

fn load(server: &Asterisk) -> Result<()> {
    let answer = server.cli(&format!("module load {MODULE}"))?;
    ensure!(answer.contains("Loaded"), "{answer}");
    Ok(())
}
