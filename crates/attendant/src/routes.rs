//! Which path is what, which methods it has, and who may ask.

use httpd::Method;

use crate::users::Role;
use crate::views::View;

/// What a request is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    /// The pages' shell.
    Home,
    /// The form to log in, which works without script.
    Login,
    /// The way out, without script.
    Logout,
    /// How the PBX is, without script.
    Plain,
    /// Part of the program.
    Asset(Asset),
    /// Data.
    Api(Api),
}

/// Files that the pages are made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asset {
    Style,
    Script,
    Icon,
}

/// Data, as JSON or as server-sent events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Api {
    /// Who is logged in; log in; log out.
    Session,
    /// How something of the PBX is now.
    View(View),
    Registrations,
    Variables,
    /// The feed.
    Events,
    /// All commands; a new one.
    Console,
    /// All commands and their output as they come.
    ConsoleEvents,
    /// One command; leave it.
    Command(u64),
    /// Its output as it comes.
    CommandEvents(u64),
    Complete,
    Log,
    LogEvents,
}

const READ: &[Method] = &[Method::Get, Method::Head];

impl Route {
    /// The route of a path.
    pub(crate) fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/" => Self::Home,
            "/login" => Self::Login,
            "/logout" => Self::Logout,
            "/plain" => Self::Plain,
            "/app.css" => Self::Asset(Asset::Style),
            "/app.js" => Self::Asset(Asset::Script),
            "/icon.svg" => Self::Asset(Asset::Icon),
            _ => Self::Api(Api::of(path.strip_prefix("/api/")?)?),
        })
    }

    /// The methods that it has.
    pub(crate) fn methods(self) -> &'static [Method] {
        match self {
            Self::Login => &[Method::Get, Method::Head, Method::Post],
            Self::Logout => &[Method::Post],
            Self::Api(Api::Session) => &[Method::Get, Method::Head, Method::Post, Method::Delete],
            Self::Api(Api::Console) => &[Method::Get, Method::Head, Method::Post],
            Self::Api(Api::Command(_)) => &[Method::Get, Method::Head, Method::Delete],
            _ => READ,
        }
    }

    /// Whether it is something that a link may lead to.
    pub(crate) fn is_page(self) -> bool {
        matches!(self, Self::Home | Self::Login | Self::Plain | Self::Asset(_))
    }
}

impl Api {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "session" => Self::Session,
            "status" => Self::View(View::Status),
            "modules" => Self::View(View::Modules),
            "channels" => Self::View(View::Channels),
            "peers" => Self::View(View::Peers),
            "registrations" => Self::Registrations,
            "variables" => Self::Variables,
            "events" => Self::Events,
            "console" => Self::Console,
            "console/events" => Self::ConsoleEvents,
            "console/complete" => Self::Complete,
            "log" => Self::Log,
            "log/events" => Self::LogEvents,
            _ => {
                let rest = path.strip_prefix("console/")?;
                let (id, events) = rest.split_once('/').map_or((rest, None), |(a, b)| (a, Some(b)));
                let id = id.parse().ok()?;
                match events {
                    None => Self::Command(id),
                    Some("events") => Self::CommandEvents(id),
                    Some(_) => return None,
                }
            }
        })
    }

    /// Whether it is something to follow.
    pub(crate) fn is_stream(self) -> bool {
        matches!(
            self,
            Self::Events | Self::ConsoleEvents | Self::CommandEvents(_) | Self::LogEvents
        )
    }

    /// Who may ask.
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Console
            | Self::ConsoleEvents
            | Self::Command(_)
            | Self::CommandEvents(_)
            | Self::Complete
            | Self::Log
            | Self::LogEvents => Role::Admin,
            _ => Role::Viewer,
        }
    }
}

/// A method's name.
pub(crate) fn name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
        Method::Options => "OPTIONS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_what_they_are_and_nothing_like_them() {
        let api = |path| match Route::of(path) {
            Some(Route::Api(api)) => Some(api),
            _ => None,
        };
        assert_eq!(api("/api/console/7"), Some(Api::Command(7)));
        assert_eq!(api("/api/console/7/events"), Some(Api::CommandEvents(7)));
        assert_eq!(api("/api/console/complete"), Some(Api::Complete));
        for none in
            ["/api", "/api/", "/api/x", "/api/console/", "/api/console/7/", "/api/console/-1"]
        {
            assert_eq!(Route::of(none), None, "{none}");
        }
        assert_eq!(Route::of("/app.css/"), None);
        assert_eq!(Route::of("*"), None);
    }

    #[test]
    fn commands_and_the_log_are_for_administrators() {
        for path in
            ["console", "console/1", "console/1/events", "console/complete", "log", "log/events"]
        {
            assert_eq!(Api::of(path).map(Api::role), Some(Role::Admin), "{path}");
        }
        assert_eq!(Api::of("channels").map(Api::role), Some(Role::Viewer));
    }
}
