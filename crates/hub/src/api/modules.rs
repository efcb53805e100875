//! The modules of a server, asked for when somebody wants to see them.

use std::sync::Arc;

use ami_proto::OwnedMessage;
use axum::Json;
use axum::extract::State;
use link::Request;
use serde::Serialize;

use super::body::Path;
use super::problem::{Problem, Words};
use crate::hub::Hub;
use crate::who::Who;

/// A module that is loaded.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct ModuleRow {
    /// `chan_pjsip.so`
    name: String,
    /// Its own words, of which Asterisk's console shows the first 40.
    description: String,
    /// How often it is used at the moment.
    uses: u32,
    /// Whether it runs; a module that has declined to load does not.
    running: bool,
    /// How it is kept: `core`, `extended`, `deprecated` or `unknown`.
    support: String,
}

/// The modules of a server.
#[utoipa::path(get, path = "/api/servers/{server}/modules", tag = "state",
    params(("server" = String, Path)),
    responses((status = 200, body = [ModuleRow]), (status = 403, body = Words),
        (status = 404, body = Words), (status = 409, body = Words)))]
pub(super) async fn modules(
    State(hub): State<Arc<Hub>>,
    _: Who,
    Path(server): Path<String>,
) -> Result<Json<Vec<ModuleRow>>, Problem> {
    if hub.fleet(|fleet| fleet.server(&server).is_none()) {
        return Err(Problem::no_such("server", &server));
    }
    Ok(Json(rows(&hub.act(&server, Request::Modules).await?)))
}

/// Takes the table of `module show` apart (`cli.c`, `MODLIST_FORMAT`). What is no row of it, as the
/// head and the count are none, is left out.
fn rows(answer: &OwnedMessage) -> Vec<ModuleRow> {
    let lines = answer.as_message().output().map(String::from_utf8_lossy);
    lines.filter_map(|line| row(&line)).collect()
}

/// From the right: only the description has blanks, and the name only such as fill its column.
fn row(line: &str) -> Option<ModuleRow> {
    let (line, support) = line.trim_end().rsplit_once(' ')?;
    let line = line.trim_end();
    let (line, running) = match line.strip_suffix("Not Running") {
        Some(line) => (line, false),
        None => (line.strip_suffix("Running")?, true),
    };
    let (line, uses) = line.trim_end().rsplit_once(' ')?;
    let (name, description) = line.split_once(' ')?;
    Some(ModuleRow {
        name: name.into(),
        description: description.trim().into(),
        uses: uses.parse().ok()?,
        running,
        support: support.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_console_is_taken_apart() {
        let name = "app_with_a_name_that_is_longer_than_its_column.so";
        let mut answer = OwnedMessage::default();
        let lines = [
            format!(
                "{:30} {:40} {:10} {:11} {:>13}",
                "Module", "Description", "Use Count", "Status", "Support Level"
            ),
            format!(
                "{:30} {:40} {:<10} {:11} {:>13}",
                "app_dial.so", "Dialing Application", 2, "Running", "core"
            ),
            format!(
                "{:30} {:40} {:<10} {:11} {:>13}",
                "chan_iax2.so", "", 0, "Not Running", "core"
            ),
            format!(
                "{name:30} {:40} {:<10} {:11} {:>13}",
                "Runs 3 Running things", 0, "Running", "extended"
            ),
            "3 modules loaded".into(),
        ];
        for line in &lines {
            answer.push("Output", line).expect("a line");
        }
        let row = |name: &str, description: &str, uses, running, support: &str| ModuleRow {
            name: name.into(),
            description: description.into(),
            uses,
            running,
            support: support.into(),
        };
        assert_eq!(
            rows(&answer),
            [
                row("app_dial.so", "Dialing Application", 2, true, "core"),
                row("chan_iax2.so", "", 0, false, "core"),
                row(name, "Runs 3 Running things", 0, true, "extended"),
            ]
        );
    }
}
