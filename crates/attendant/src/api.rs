//! What programs and pages ask for, as JSON.

use httpd::{Again, Answer, Context, Method, Peer, Request, Response};
use serde::{Deserialize, Serialize};

use crate::console::{ConsoleError, RunView};
use crate::control::{self, ControlError};
use crate::desk::{Asked, Desk, now, refused_login};
use crate::follow::STREAMS_PER_USER;
use crate::pbx::Level;
use crate::routes::{Api, Route};
use crate::shared::{LoginError, Shared};
use crate::universal::{Registration, Variables};
use crate::users::Role;
use crate::views::{Told, View};
use crate::who::{Identity, set_cookie};
use crate::{pages, reply, universal};

/// How long the candidates of a completion may be together.
const CANDIDATES_MAX_BYTES: usize = 256 * 1024;
/// How long Asterisk may take for them.
const COMPLETE_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);
/// How many lines of the log are given at once.
const LOG_LINES: usize = 500;

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

#[derive(Deserialize)]
struct NewCommand {
    command: String,
}

#[derive(Serialize)]
struct SessionView<'a> {
    user: &'a str,
    role: Role,
    csrf: Option<&'a str>,
}

#[derive(Serialize)]
struct Registrations {
    registrations: Vec<Registration>,
}

#[derive(Serialize)]
struct Commands<'a> {
    commands: Vec<RunView<'a>>,
    at_once: usize,
}

#[derive(Serialize)]
struct CommandOutput<'a> {
    #[serde(flatten)]
    view: RunView<'a>,
    output: &'a str,
}

#[derive(Serialize)]
struct Begun {
    id: u64,
}

#[derive(Serialize)]
struct Candidates {
    candidates: Vec<String>,
}

#[derive(Serialize)]
struct Log<'a> {
    lines: Vec<&'a crate::livelog::Line>,
    missed: u64,
    next: u64,
}

impl Desk {
    pub(crate) fn api(&mut self, context: &mut Context<'_>, asked: Asked<'_>, api: Api) -> Answer {
        if api.is_stream() && !self.has_room(&asked.who.user) {
            let full = format!(
                "{} already follows {STREAMS_PER_USER} streams, and no more may be; close pages or \
                 programs that do",
                asked.who.user
            );
            return now(reply::refusal(429, &full).with_header("Retry-After", "10"));
        }
        match api {
            Api::Session if asked.request.method == Method::Delete => {
                self.logout(&asked);
                let gone = set_cookie(asked.peer, None);
                now(reply::guarded(Response::new(204)).with_header("Set-Cookie", gone))
            }
            Api::Session => now(reply::value(200, &session_of(&asked.who))),
            Api::View(view) => self.view(context, view),
            Api::Registrations => self.registrations(),
            Api::Variables => self.variables(&asked.request),
            Api::Events => self.follow_feed(context, asked),
            Api::Console if asked.request.method == Method::Post => self.begin(context, &asked),
            Api::Console => {
                let at_once = self.shared.settings().commands;
                let commands = self.console.list(context.now());
                now(reply::value(200, &Commands { commands, at_once }))
            }
            Api::Command(id) if asked.request.method == Method::Delete => {
                now(match self.console.leave(context, id) {
                    Ok(()) => reply::guarded(Response::new(204)),
                    Err(error) => refused_command(&error),
                })
            }
            Api::Command(id) => now(self.command(context, id)),
            Api::ConsoleEvents => self.follow_console(context, asked),
            Api::CommandEvents(id) => self.follow_command(context, asked, id),
            Api::Complete => self.complete(&asked.request),
            Api::Log => now(self.log_lines(&asked.request)),
            Api::LogEvents => self.follow_log(context, asked),
        }
    }

    /// From what is there, or by a worker.
    fn view(&self, context: &Context<'_>, view: View) -> Answer {
        if let Some(json) = self.shared.views.fresh(view, context.now()) {
            return now(reply::json(200, json));
        }
        let shared = self.shared.clone();
        work(move || match shared.views.look(view, &*shared.pbx) {
            Some(told) => aged(&told, reply::json(200, told.what.clone())),
            None => unanswered(),
        })
    }

    fn registrations(&self) -> Answer {
        let shared = self.shared.clone();
        work(move || {
            of_universal(&shared, |shared| {
                universal::registrations(shared)
                    .map(|registrations| reply::value(200, &Registrations { registrations }))
            })
        })
    }

    fn variables(&self, request: &Request) -> Answer {
        let prefix = match query(request, "prefix") {
            Ok(prefix) => prefix.unwrap_or_default(),
            Err(refusal) => return now(refusal),
        };
        if !universal::is_prefix(&prefix) {
            return now(reply::refusal(422, "a prefix is the beginning of a name, without blanks"));
        }
        let shared = self.shared.clone();
        work(move || {
            of_universal(&shared, |shared| {
                universal::variables(shared, &prefix)
                    .map(|variables: Variables| reply::value(200, &variables))
            })
        })
    }

    fn begin(&mut self, context: &Context<'_>, asked: &Asked<'_>) -> Answer {
        let command = match json_of::<NewCommand>(&asked.request) {
            Ok(new) => new.command,
            Err(refusal) => return now(refusal),
        };
        let (socket, most) = (self.shared.pbx.control_socket(), self.shared.settings().commands);
        let user = asked.who.user.as_str();
        let begun = self.console.begin(context, &socket, (user, &command), most);
        now(match begun {
            Ok(id) => {
                // All of it: it is not long, and has no control characters in it.
                let (command, from) = (command.trim(), asked.peer.remote.ip());
                let line = format!("pbx_web: {user} from {from} runs: {command}");
                self.shared.pbx.log(Level::Notice, &line);
                reply::value(202, &Begun { id })
                    .with_header("Location", format!("/api/console/{id}"))
            }
            Err(error) => refused_command(&error),
        })
    }

    fn command(&self, context: &Context<'_>, id: u64) -> Response {
        let view = self.console.view(id, context.now());
        match (view, self.console.output(id, 0)) {
            (Some(view), Some((output, _))) => reply::value(200, &CommandOutput { view, output }),
            _ => refused_command(&ConsoleError::Unknown),
        }
    }

    fn complete(&self, request: &Request) -> Answer {
        let line = match query(request, "line") {
            Ok(line) => line.unwrap_or_default(),
            Err(refusal) => return now(refusal),
        };
        let Some(command) = control::completion(&line) else {
            return now(reply::value(200, &Candidates { candidates: Vec::new() }));
        };
        let shared = self.shared.clone();
        work(move || match shared.ask(&command, CANDIDATES_MAX_BYTES, COMPLETE_WITHIN) {
            Ok(output) => {
                reply::value(200, &Candidates { candidates: control::candidates(&output) })
            }
            Err(error) => refused_control(&error),
        })
    }

    fn log_lines(&self, request: &Request) -> Response {
        let after = match query(request, "after") {
            Ok(after) => after.map(|text| text.parse::<u64>()).transpose(),
            Err(refusal) => return refusal,
        };
        let Ok(after) = after else {
            return reply::refusal(400, "after is the number of a line of the log");
        };
        let from = after.map_or(0, |after| after.saturating_add(1)).min(self.log.next_seq());
        let (lines, missed) = self.log.since(from, LOG_LINES);
        let lines: Vec<_> = lines.collect();
        let next = lines.last().map_or(from, |last| last.seq + 1);
        // Who has not said what they know has missed nothing.
        let missed = if after.is_some() { missed } else { 0 };
        reply::value(200, &Log { lines, missed, next })
    }

    /// A session for a name and a password: of a form, or as JSON.
    pub(crate) fn login(&mut self, context: &Context<'_>, peer: &Peer, request: Request) -> Answer {
        let is_form = Route::of(&request.path) == Some(Route::Login);
        let credentials = if is_form {
            let mut form = pages::form(&request);
            let mut field = |name| form.remove(name).unwrap_or_default();
            Ok(Credentials { user: field("user"), password: field("password") })
        } else {
            json_of::<Credentials>(&request)
        };
        let Credentials { user, password } = match credentials {
            Ok(credentials) => credentials,
            Err(refusal) => return now(refusal),
        };
        let refused = move |error: LoginError| {
            // Somebody types it in: no browser is to ask for it as well.
            let refusal = refused_login(error, false);
            match is_form {
                true => reply::page(refusal.status, pages::login(Some(&error.to_string()))),
                false => refusal,
            }
        };
        let at = context.now();
        let (shared, peer) = (self.shared.clone(), *peer);
        work(move || {
            // Not before: what the queue refuses is no wrong password, and of many right ones at
            // once no more count than there are workers.
            let begun = shared.begin_login(&user, &peer, at);
            let known = begun.and_then(|()| shared.login(&user, &password, &peer, at));
            let (role, hash) = match known {
                Ok(known) => known,
                Err(error) => return refused(error),
            };
            let (token, session) = match shared.begin_session(&user, (role, &hash), at) {
                Ok(Some(begun)) => begun,
                Ok(None) => return refused(LoginError::Wrong),
                Err(_) => return reply::refusal(503, "the system gives no random numbers"),
            };
            let cookie = set_cookie(&peer, Some(&token));
            let view = SessionView { user: &user, role, csrf: Some(&session.csrf) };
            let response = if is_form { reply::see_other("/") } else { reply::value(200, &view) };
            response.with_header("Set-Cookie", cookie)
        })
    }

    pub(crate) fn plain(&self, asked: &Asked<'_>) -> Answer {
        let (shared, who) = (self.shared.clone(), asked.who.clone());
        work(move || {
            let Some(figures) = shared.views.figures(&*shared.pbx) else { return unanswered() };
            let csrf = who.session.as_ref().map(|session| session.csrf.as_str());
            aged(&figures, reply::page(200, pages::plain(&figures.what, &who.user, csrf)))
        })
    }
}

/// Says how old that is, if Asterisk did not tell anything newer.
fn aged<T>(told: &Told<T>, response: Response) -> Response {
    match told.age {
        Some(age) => response.with_header("Age", age.as_secs().to_string()),
        None => response,
    }
}

/// Nothing is known that could be given instead.
fn unanswered() -> Response {
    let why = "Asterisk does not answer, and others wait for it already; try again";
    reply::refusal(503, why).with_header("Retry-After", "1")
}

fn session_of(who: &Identity) -> SessionView<'_> {
    let csrf = who.session.as_ref().map(|session| session.csrf.as_str());
    SessionView { user: &who.user, role: who.role, csrf }
}

fn work(job: impl FnOnce() -> Response + Send + 'static) -> Answer {
    Answer::Work(Box::new(|| Again::Respond(job())))
}

/// Asks app_universal, if it is there.
fn of_universal(
    shared: &Shared,
    ask: impl FnOnce(&Shared) -> Result<Response, ControlError>,
) -> Response {
    if !shared.pbx.is_running(universal::MODULE) {
        return reply::refusal(404, "app_universal is not loaded");
    }
    ask(shared).unwrap_or_else(|error| refused_control(&error))
}

fn refused_control(error: &ControlError) -> Response {
    reply::refusal(503, &error.to_string()).with_header("Retry-After", "1")
}

fn refused_command(error: &ConsoleError) -> Response {
    let text = error.to_string();
    match error {
        ConsoleError::Line(_) => reply::refusal(422, &text),
        ConsoleError::Unknown => reply::refusal(404, &text),
        ConsoleError::Busy(_) | ConsoleError::TooManyLeft => {
            reply::refusal(429, &text).with_header("Retry-After", "1")
        }
        ConsoleError::Control(error) => refused_control(error),
    }
}

/// A body that says that it is JSON, and is. Pages elsewhere cannot send one without asking.
fn json_of<T: for<'d> Deserialize<'d>>(request: &Request) -> Result<T, Response> {
    if !reply::is_json(request) {
        return Err(reply::refusal(415, "send application/json"));
    }
    serde_json::from_slice(&request.body)
        .map_err(|_| reply::refusal(400, "the JSON is broken, or something is missing in it"))
}

/// The one value that may stand behind the `?`. Whoever errs there would get an answer to a question
/// that they did not ask.
fn query(request: &Request, name: &str) -> Result<Option<String>, Response> {
    let refused = |why: &str| {
        let may_be = format!("behind the ? may be {name}=TEXT, once, percent-encoded UTF-8");
        reply::refusal(400, &format!("{why}; {may_be}"))
    };
    let mut found = None;
    for part in request.query.split('&').filter(|part| !part.is_empty()) {
        let Some((is, value)) = httpd::pairs(part).next() else {
            return Err(refused("the query cannot be read"));
        };
        if is != name {
            return Err(refused("the query has a name that is not known here"));
        }
        if found.replace(value).is_some() {
            return Err(refused(&format!("{name} is there twice")));
        }
    }
    Ok(found)
}
