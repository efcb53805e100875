//! Pages: a shell that script fills, a form to log in and a page of figures that need none.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use httpd::Request;

use crate::pbx::{Pbx, PeerState};
use crate::text::for_html;

pub(crate) const STYLE: &[u8] = include_bytes!("pages/app.css");
pub(crate) const SCRIPT: &[u8] = include_bytes!("pages/app.js");
pub(crate) const ICON: &[u8] = include_bytes!("pages/icon.svg");

/// The pages' shell; script fills it.
pub(crate) fn shell() -> String {
    include_str!("pages/shell.html").to_owned()
}

/// The form to log in, with what was wrong the last time.
pub(crate) fn login(error: Option<&str>) -> String {
    let error = error.map_or_else(String::new, |error| {
        format!("<p class=\"problem\" role=\"alert\">{}</p>", for_html(error))
    });
    fill(include_str!("pages/login.html"), &[("error", &error)])
}

/// The fields of a form, if the body is one.
pub(crate) fn form(request: &Request) -> HashMap<String, String> {
    let content_type = request.headers.only("content-type").unwrap_or_default();
    if !content_type.starts_with(b"application/x-www-form-urlencoded") {
        return HashMap::new();
    }
    let text = str::from_utf8(&request.body).unwrap_or_default();
    httpd::pairs(text).collect()
}

/// What the page without script says of the PBX, for all who ask.
pub(crate) struct Figures {
    rows: String,
    calls: String,
}

/// How the PBX is, without script.
pub(crate) fn plain(figures: &Figures, user: &str, csrf: Option<&str>) -> String {
    let csrf = csrf.map_or_else(String::new, |csrf| {
        format!("<input type=\"hidden\" name=\"csrf\" value=\"{}\">", for_html(csrf))
    });
    let values = [
        ("rows", figures.rows.as_str()),
        ("calls", &figures.calls),
        ("user", &for_html(user)),
        ("csrf", &csrf),
    ];
    fill(include_str!("pages/plain.html"), &values)
}

/// Puts values in the place of a template's `{{name}}`s, in one pass: what a value says is no
/// template.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let (mut html, mut rest) = (String::with_capacity(template.len()), template);
    while let Some((before, tail)) = rest.split_once("{{")
        && let Some((name, after)) = tail.split_once("}}")
    {
        html.push_str(before);
        html.push_str(values.iter().find(|(is, _)| *is == name).map_or("", |(_, value)| value));
        rest = after;
    }
    html + rest
}

/// Asks for them. For workers.
pub(crate) fn figures(pbx: &dyn Pbx) -> Figures {
    let system = pbx.system();
    let mut rows = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = write!(rows, "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", for_html(value));
    };
    row("Asterisk", &system.version);
    row("System", &system.system_name);
    row("Host", &system.host_name);
    row("Up for", &span(system.uptime));
    row("Last reload", &format!("{} ago", span(system.since_reload)));
    row("Calls now", &system.active_calls.to_string());
    row("Channels now", &system.active_channels.to_string());
    row("Calls since the start", &system.processed_calls.to_string());
    let peers = pbx.peers();
    let online = peers.iter().filter(|peer| peer.state == PeerState::Online).count();
    row("Peers online", &format!("{online} of {}", peers.len()));
    let mut calls = String::new();
    let mut channels = pbx.channels();
    channels.sort_by(|a, b| a.name.cmp(&b.name));
    for channel in channels {
        let _ = write!(
            calls,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            for_html(&channel.name),
            for_html(&channel.state),
            for_html(&channel.caller_number),
            for_html(&format!("{}@{}", channel.extension, channel.context)),
            span(channel.duration)
        );
    }
    Figures { rows, calls }
}

/// `3 d 4 h`, `5 min 6 s`.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_is_called_is_no_template() {
        let calls = "{{csrf}} {{user}} {{".to_owned();
        let page = plain(&Figures { rows: "{{calls}}".into(), calls }, "anna", Some("word"));
        assert!(page.contains("<tbody>{{calls}}</tbody>"), "{page}");
        assert!(page.contains("<tbody>{{csrf}} {{user}} {{</tbody>"), "{page}");
        assert!(page.contains("value=\"word\"><span>anna</span>"), "{page}");
    }
}
