//! A real browser, headless Chromium, driven through playwright (`web/tests/driver.mjs`): what a person does at the
//! console, named as a screen reader names it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::error::{At as _, LabError, Result};
use crate::place::Place;
use crate::process;

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    driver: Mutex<Driver>,
    log: PathBuf,
    /// Keeps the lab's number for as long as it runs.
    _place: Arc<Place>,
}

#[derive(Debug)]
struct Driver {
    child: Child,
    steps: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    pub(crate) fn start(place: &Arc<Place>) -> Result<Self> {
        place.make_folder("browser")?;
        let log = place.logs().join("browser/driver.log");
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/tests/driver.mjs");
        let stderr = std::fs::File::create(&log).at("open", &log)?;
        let mut command = Command::new("node");
        command.arg(driver).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = process::spawn_child(command).at("start", "node")?;
        let missing = || LabError::NotRunning { program: "the browser's driver".into() };
        let steps = Some(child.stdin.take().ok_or_else(missing)?);
        let answers = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let driver = Mutex::new(Driver { child, steps, answers });
        Ok(Self { driver, log, _place: Arc::clone(place) })
    }

    /// Takes a step, as `web/tests/driver.mjs` has them, and gives what it gave.
    ///
    /// # Errors
    ///
    /// What was waited for in vain, and what is on the page instead.
    pub fn step(&self, step: &Value) -> Result<Value> {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |answer: String| LabError::Refused {
            program: "the browser".into(),
            request: step.to_string(),
            answer,
            log: self.log.clone(),
        };
        let steps = driver.steps.as_mut().ok_or_else(|| refused("it has ended".into()))?;
        writeln!(steps, "{step}").at("write to", "the browser's driver")?;
        let mut line = String::new();
        driver.answers.read_line(&mut line).at("read from", "the browser's driver")?;
        let answer: Value =
            serde_json::from_str(&line).map_err(|_| refused("it has ended".into()))?;
        match answer["error"].as_str() {
            Some(error) => Err(refused(error.into())),
            None => Ok(answer["value"].clone()),
        }
    }

    /// SIGSTOP for all of the browser, as when a laptop is closed. No step can be taken until it is opened again.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub fn sleep(&self) -> Result<()> {
        self.signal(libc::SIGSTOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub fn wake(&self) -> Result<()> {
        self.signal(libc::SIGCONT)
    }

    fn signal(&self, signal: libc::c_int) -> Result<()> {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).child.id();
        let browser = process::descendants(driver)?;
        if browser.is_empty() {
            return Err(LabError::NotRunning { program: "the browser".into() });
        }
        browser.into_iter().for_each(|pid| process::send(pid, signal));
        Ok(())
    }

    /// Goes to an address.
    ///
    /// # Errors
    ///
    /// If nothing is there.
    pub fn open(&self, url: &str) -> Result<()> {
        self.step(&json!({ "do": "goto", "url": url })).map(drop)
    }

    /// Clicks what has this role and name.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn click(&self, role: &str, name: &str) -> Result<()> {
        self.step(&json!({ "do": "click", "role": role, "name": name })).map(drop)
    }

    /// Writes into the field with this label.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn fill(&self, label: &str, value: &str) -> Result<()> {
        self.step(&json!({ "do": "fill", "label": label, "value": value })).map(drop)
    }

    /// Waits until what has this role, and a name with this in it, can be seen.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn see(&self, role: &str, name: &str) -> Result<()> {
        self.step(&json!({ "do": "see", "role": role, "name": name, "exact": false })).map(drop)
    }

    /// Waits until it cannot be seen any more.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn see_gone(&self, role: &str, name: &str) -> Result<()> {
        self.step(&json!({ "do": "gone", "role": role, "name": name, "exact": false })).map(drop)
    }

    /// Waits until this text can be seen.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn see_text(&self, text: &str) -> Result<()> {
        self.step(&json!({ "do": "see", "text": text })).map(drop)
    }

    /// What the page, or the browser's policy, has complained of since this was last asked.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn complaints(&self) -> Result<Vec<String>> {
        let all = self.step(&json!({ "do": "complaints" }))?;
        let all = all.as_array().into_iter().flatten();
        Ok(all.filter_map(|one| one.as_str().map(str::to_owned)).collect())
    }

    /// Logs in at the hub's address, and waits until the console is there.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn log_in(&self, url: &str, user: &str, password: &str) -> Result<()> {
        self.try_log_in(url, user, password)?;
        self.see("navigation", "Pages")
    }

    /// Tries to log in, whatever comes of it.
    ///
    /// # Errors
    ///
    /// As [`Self::step`].
    pub fn try_log_in(&self, url: &str, user: &str, password: &str) -> Result<()> {
        self.open(url)?;
        self.fill("User", user)?;
        self.fill("Password", password)?;
        self.click("button", "Log in")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let driver = self.driver.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It closes the browser when nothing more is to be done, and takes its profile away.
        drop(driver.steps.take());
        // Nothing can be done about an error here.
        let _status = driver.child.wait();
    }
}
