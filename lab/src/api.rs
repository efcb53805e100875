//! A client of the hub's API: as a script, or as the console is one.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::config::ConfigBuilder;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

use crate::error::{LabError, Result};

/// Bound of one request.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Somebody who asks.
#[derive(Clone, Debug)]
pub struct Api {
    client: ureq::Agent,
    url: String,
    log: PathBuf,
    cookie: Option<String>,
    csrf: Option<String>,
    token: Option<String>,
}

/// An answer: its status and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's.
    pub status: u16,
    /// JSON, or text, or nothing.
    pub body: Value,
}

/// What the hub says as it happens.
#[derive(Debug)]
pub struct Events {
    lines: Receiver<(String, Value)>,
    log: PathBuf,
}

impl Api {
    pub(crate) fn anonymous(url: &str, log: &Path) -> Self {
        Self::with_client(url, log, |config| config)
    }

    pub(crate) fn trusting(url: &str, log: &Path, authority: &str) -> Result<Self> {
        let certificate = Certificate::from_pem(authority.as_bytes());
        let certificate = certificate.map_err(|error| LabError::Refused {
            program: "the lab".into(),
            request: "an authority's certificate".into(),
            answer: error.to_string(),
            log: log.into(),
        })?;
        let roots = RootCerts::new_with_certs(&[certificate]);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().root_certs(roots);
        let tls = tls.unversioned_rustls_crypto_provider(provider).build();
        Ok(Self::with_client(url, log, |config| config.tls_config(tls)))
    }

    fn with_client(
        url: &str,
        log: &Path,
        change: impl FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope>,
    ) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let config = config.timeout_global(None).timeout_recv_response(Some(ANSWER_WITHIN));
        let client = change(config).build();
        let (cookie, csrf, token) = Default::default();
        Self { client: client.into(), url: url.into(), log: log.into(), cookie, csrf, token }
    }

    pub(crate) fn log_in(mut self, user: &str, password: &str) -> Result<Self> {
        let body = json!({ "user": user, "password": password });
        let mut response = self.send("POST", "/api/login", Some(&body))?;
        let cookie = response.headers().get("set-cookie").and_then(|value| value.to_str().ok());
        let cookie = cookie.and_then(|value| value.split(';').next()).map(str::to_owned);
        let answer = self.answer("/api/login", &mut response)?;
        if answer.status != 200 {
            return Err(self.refused("/api/login", &answer));
        }
        self.cookie = cookie;
        self.csrf = answer.body["csrf"].as_str().map(str::to_owned);
        Ok(self)
    }

    /// The same, with a token in the place of a session.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        let token = Some(token.to_owned());
        Self { cookie: None, csrf: None, token, ..self.clone() }
    }

    /// The same session, without what proves that the console itself asks.
    #[must_use]
    pub fn without_csrf(&self) -> Self {
        Self { csrf: None, ..self.clone() }
    }

    /// The secret of its session, for a browser.
    #[must_use]
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Asks, whatever the answer.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut response = self.send(method, path, body)?;
        self.answer(path, &mut response)
    }

    /// What is at an address.
    ///
    /// # Errors
    ///
    /// If it is refused.
    pub fn get(&self, path: &str) -> Result<Value> {
        let answer = self.ask("GET", path, None)?;
        if answer.status == 200 { Ok(answer.body) } else { Err(self.refused(path, &answer)) }
    }

    /// Has something done.
    ///
    /// # Errors
    ///
    /// If it is refused.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.ask("POST", path, Some(body))?;
        let is_done = (200..300).contains(&answer.status);
        if is_done { Ok(answer.body) } else { Err(self.refused(path, &answer)) }
    }

    /// Follows what happens after a sequence.
    ///
    /// # Errors
    ///
    /// If it is refused.
    pub fn events(&self, since: u64) -> Result<Events> {
        let (sender, lines) = mpsc::channel();
        let stream = self.event_stream(since)?;
        // It ends when the hub does, or when nobody listens.
        thread::spawn(move || {
            let mut event = String::new();
            for line in stream.lines() {
                let Ok(line) = line else { return };
                if let Some(name) = line.strip_prefix("event: ") {
                    event = name.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    let value = serde_json::from_str(data).unwrap_or_default();
                    if sender.send((event.clone(), value)).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Events { lines, log: self.log.clone() })
    }

    /// The same, as it comes.
    ///
    /// # Errors
    ///
    /// As [`Self::events`].
    pub fn event_stream(&self, since: u64) -> Result<impl BufRead + Send + 'static> {
        let path = format!("/api/events?since={since}");
        let mut response = self.send("GET", &path, None)?;
        if response.status() != 200 {
            let answer = self.answer(&path, &mut response)?;
            return Err(self.refused(&path, &answer));
        }
        let body = response.into_body().into_with_config().limit(u64::MAX);
        Ok(BufReader::new(body.reader()))
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response<ureq::Body>> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(self.url.clone() + path);
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(csrf) = &self.csrf {
            request = request.header("x-csrf-token", csrf);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let sent = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                request.body(body.to_string()).map(|request| self.run(request))
            }
            None => request.body(()).map(|request| self.run(request)),
        };
        let sent = sent.map_err(|error| self.failed(path, &error.to_string()))?;
        sent.map_err(|error| self.failed(path, &error.to_string()))
    }

    fn run<B: ureq::AsSendBody>(
        &self,
        request: ureq::http::Request<B>,
    ) -> std::result::Result<Response<ureq::Body>, ureq::Error> {
        self.client.run(request)
    }

    fn answer(&self, path: &str, response: &mut Response<ureq::Body>) -> Result<Answer> {
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string();
        let text = text.map_err(|error| self.failed(path, &error.to_string()))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body })
    }

    fn refused(&self, path: &str, answer: &Answer) -> LabError {
        self.failed(path, &format!("{} {}", answer.status, answer.body))
    }

    fn failed(&self, path: &str, answer: &str) -> LabError {
        LabError::Refused {
            program: "the hub".into(),
            request: path.into(),
            answer: answer.into(),
            log: self.log.clone(),
        }
    }
}

impl Events {
    /// Waits for an event that is wanted.
    ///
    /// # Errors
    ///
    /// If none comes in time, or no further one can.
    pub fn wait(
        &self,
        what: &str,
        within: Duration,
        mut is_wanted: impl FnMut(&str, &Value) -> bool,
    ) -> Result<Value> {
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((name, value)) if is_wanted(&name, &value) => return Ok(value),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let log = self.log.clone();
                    return Err(LabError::TimedOut { what: what.to_owned(), within, log });
                }
            }
        }
    }

    /// Waits for a change that is wanted.
    ///
    /// # Errors
    ///
    /// As [`Self::wait`].
    pub fn wait_change(
        &self,
        what: &str,
        within: Duration,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let any =
            |changes: &Value| changes["changes"].as_array().into_iter().flatten().any(&is_wanted);
        self.wait(what, within, |name, value| name == "changes" && any(value)).map(drop)
    }
}
