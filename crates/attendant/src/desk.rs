//! Where requests arrive: who asks, whether they may, and which part of the house answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use httpd::{
    Again, Answer, Context, Method, Next, Peer, Ready, Refusal, Request, Response, Service,
    StreamKey,
};

use crate::console::Console;
use crate::follow::Follow;
use crate::livelog::{self, LiveLog};
use crate::pbx::Security;
use crate::routes::{self, Asset, Route};
use crate::shared::{LoginError, Shared};
use crate::who::{Identity, Who};
use crate::{origin, pages, reply};

/// All that the I/O thread has for requests.
pub(crate) struct Desk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) console: Console,
    pub(crate) log: LiveLog,
    pub(crate) follows: HashMap<StreamKey, Follow>,
    pub(crate) last_key: u64,
    /// How many follow the feed.
    pub(crate) feeders: usize,
}

/// A request that somebody may make.
pub(crate) struct Asked<'a> {
    pub(crate) request: Request,
    pub(crate) peer: &'a Peer,
    pub(crate) who: Identity,
}

impl Desk {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            console: Console::default(),
            log: LiveLog::default(),
            follows: HashMap::new(),
            last_key: 0,
            feeders: 0,
        }
    }

    fn answer(&mut self, context: &mut Context<'_>, peer: &Peer, request: Request) -> Answer {
        // The list may have changed since they connected.
        if !self.shared.admits(peer.remote.ip()) {
            return now(reply::refusal(403, "this address is not let in any more").last());
        }
        let Some(route) = Route::of(&request.path) else {
            return now(reply::refusal(404, "there is nothing here"));
        };
        let settings = self.shared.settings();
        if let Err(error) = origin::check(&request, peer, &settings.hostnames, route.is_page()) {
            let status = if error == origin::Stranger::Host { 421 } else { 403 };
            return now(reply::refusal(status, &error.to_string()));
        }
        if !route.methods().contains(&request.method) {
            let allowed: Vec<_> =
                route.methods().iter().map(|method| routes::name(*method)).collect();
            let refusal = reply::refusal(405, "that cannot be done here");
            return now(refusal.with_header("Allow", allowed.join(", ")));
        }
        match route {
            Route::Asset(asset) => now(asset_of(asset)),
            Route::Login if request.method == Method::Post => self.login(context, peer, request),
            Route::Login => now(reply::page(200, pages::login(None))),
            Route::Api(routes::Api::Session) if request.method == Method::Post => {
                self.login(context, peer, request)
            }
            _ => self.answer_known(context, peer, request, route),
        }
    }

    /// What needs somebody who is known.
    fn answer_known(
        &mut self,
        context: &mut Context<'_>,
        peer: &Peer,
        request: Request,
        route: Route,
    ) -> Answer {
        let who = match Who::of(&request, peer, &self.shared, context.now()) {
            Who::Known(who) => who,
            Who::Claims { user, password } => {
                return self.verify(context, peer, request, user, password);
            }
            Who::Nobody => return now(unknown(&request, route)),
        };
        if let Route::Api(api) = route
            && who.role < api.role()
        {
            self.shared.report(Security::NotAllowed, &who.user, peer, context.now());
            return now(reply::refusal(403, "only an administrator may do that"));
        }
        let form = pages::form(&request);
        let csrf = request.headers.only("x-csrf-token").map(<[u8]>::to_vec);
        let csrf = csrf.or_else(|| form.get("csrf").map(|csrf| csrf.clone().into_bytes()));
        if !request.method.is_safe() && !who.may_change(csrf.as_deref()) {
            return now(reply::refusal(403, "a change needs the session's X-CSRF-Token"));
        }
        if who.session.is_none() && is_form_like(&request) {
            return now(reply::refusal(415, "send application/json"));
        }
        let asked = Asked { request, peer, who };
        match route {
            Route::Home => now(reply::page(200, pages::shell())),
            Route::Plain => self.plain(&asked),
            Route::Logout => {
                self.logout(&asked);
                let gone = crate::who::set_cookie(peer, None);
                now(reply::see_other("/login").with_header("Set-Cookie", gone))
            }
            Route::Api(api) => self.api(context, asked, api),
            Route::Login | Route::Asset(_) => now(reply::refusal(404, "there is nothing here")),
        }
    }

    /// A worker looks at a program's password, and then the request comes again.
    fn verify(
        &self,
        context: &Context<'_>,
        peer: &Peer,
        request: Request,
        user: String,
        password: String,
    ) -> Answer {
        let (shared, peer, at) = (self.shared.clone(), *peer, context.now());
        Answer::Work(Box::new(move || match shared.let_in(&user, &password, &peer, at) {
            Ok(()) => Again::Request(request),
            Err(error) => {
                let is_asked = !is_browser(&request);
                Again::Respond(refused_login(error, is_asked))
            }
        }))
    }

    pub(crate) fn logout(&self, asked: &Asked<'_>) {
        if let Some(session) = &asked.who.session {
            self.shared.sessions().end(&session.token);
        }
    }
}

/// Says who may not come in, and when they may try again; and asks for another password, if that
/// may be.
pub(crate) fn refused_login(error: LoginError, is_asked: bool) -> Response {
    let refusal = |status| reply::refusal(status, &error.to_string());
    match error {
        LoginError::Wrong if is_asked => refusal(401).with_header("WWW-Authenticate", CHALLENGE),
        LoginError::Wrong => refusal(401),
        LoginError::Throttled(wait) | LoginError::Crowded(wait) => {
            refusal(429).with_header("Retry-After", wait.as_secs().max(1).to_string())
        }
        LoginError::NoMemory(_) => refusal(503).with_header("Retry-After", "1"),
    }
}

/// For people the form; for programs what they have to send. Browsers are not asked for a
/// password: they would send it along with other pages' requests, too.
fn unknown(request: &Request, route: Route) -> Response {
    if matches!(route, Route::Home | Route::Plain | Route::Logout) {
        return reply::see_other("/login");
    }
    let refusal = reply::refusal(401, "log in, or send a name and a password (Basic)");
    match is_browser(request) {
        true => refusal,
        false => refusal.with_header("WWW-Authenticate", CHALLENGE),
    }
}

/// What asks a program for a name and a password.
const CHALLENGE: &str = "Basic realm=\"pbx_web\"";

/// Whether it looks like a browser's. Over plain HTTP there is no `Sec-Fetch-Mode`.
fn is_browser(request: &Request) -> bool {
    const SEC_FETCH: &[u8] = b"sec-fetch-";
    request.headers.iter().any(|(name, value)| {
        let has_name = |other: &[u8]| name.eq_ignore_ascii_case(other);
        name.get(..SEC_FETCH.len()).is_some_and(|name| name.eq_ignore_ascii_case(SEC_FETCH))
            || has_name(b"upgrade-insecure-requests")
            || has_name(b"accept") && memchr::memmem::find(value, b"text/html").is_some()
    })
}

/// Whether a page elsewhere could have a browser send it without asking first. One that was given a
/// password sends it along. What is JSON and what deletes it asks for, and is not told that it may.
fn is_form_like(request: &Request) -> bool {
    !request.method.is_safe() && request.method != Method::Delete && !reply::is_json(request)
}

fn asset_of(asset: Asset) -> Response {
    match asset {
        Asset::Style => reply::asset("text/css; charset=utf-8", pages::STYLE),
        Asset::Script => reply::asset("text/javascript; charset=utf-8", pages::SCRIPT),
        Asset::Icon => reply::asset("image/svg+xml", pages::ICON),
    }
}

pub(crate) fn now(response: Response) -> Answer {
    Answer::Now(response)
}

impl Service for Desk {
    fn admits(&mut self, peer: &Peer) -> bool {
        let admitted = self.shared.admits(peer.remote.ip());
        // Who is kept out since there is no user is on nobody's list, and is not to be banned for it.
        if !admitted && self.shared.settings().is_on() {
            self.shared.report(Security::FailedAcl, "", peer, Instant::now());
        }
        admitted
    }

    fn request(&mut self, context: &mut Context<'_>, peer: &Peer, request: Request) -> Answer {
        self.answer(context, peer, request)
    }

    fn refusal(refusal: &Refusal<'_>) -> Response {
        match refusal.path {
            Some(path) if path.starts_with("/api/") => reply::refusal(refusal.status, refusal.text),
            _ => reply::guarded(refusal.as_text()),
        }
    }

    fn stream(&mut self, context: &mut Context<'_>, key: StreamKey) -> Next {
        self.next_events(context, key)
    }

    fn stream_over(&mut self, context: &mut Context<'_>, key: StreamKey) {
        self.unfollow(context, key);
    }

    fn ready(&mut self, context: &mut Context<'_>, key: u64, _ready: Ready) {
        match key {
            livelog::KEY => self.log.ready(context),
            id => self.console.ready(context, id),
        }
    }

    fn tick(&mut self, context: &mut Context<'_>) -> Option<Instant> {
        let log = self.tick_log(context);
        let feed = self.tick_feed(context);
        let begins = self.console.connect(context, &self.shared.pbx.control_socket());
        let console = self.console.tick(context.now());
        [log, feed, begins, console].into_iter().flatten().min()
    }
}
