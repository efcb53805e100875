//! The console's page of peers in a real browser, and when a change was to be seen on it.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tandem_lab::Browser;

use super::traffic::{Sent, What};
use super::watch::Arrived;

/// Notes when the round trip of a row is another one: by the clock of this machine, in the moment in which the page
/// has been changed.
const OBSERVE: &str = r#"
(() => {
  const grid = document.querySelector('[role=grid]');
  const heads = [...grid.querySelectorAll('[role=columnheader]')].map((head) => head.textContent.trim());
  const column = heads.findIndex((head) => head.startsWith('Round trip'));
  const shown = new Map();
  const noted = [];
  const look = (row) => {
    const cell = row.querySelectorAll('[role=gridcell]')[column];
    const trip = /(\d+) ms/.exec(cell ? cell.textContent : '');
    const name = /(\d+)$/.exec(decodeURIComponent(row.id));
    if (!trip || !name || shown.get(name[1]) === trip[1]) return;
    shown.set(name[1], trip[1]);
    noted.push([Date.now(), name[1], Number(trip[1])]);
  };
  const rows = () => grid.querySelectorAll('.body [role=row]');
  rows().forEach(look);
  const observer = new MutationObserver((mutations) => {
    const touched = new Set();
    for (const { target } of mutations) {
      const at = target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement;
      const row = at && at.closest('[role=row]');
      if (row) touched.add(row);
      else rows().forEach((each) => touched.add(each));
    }
    touched.forEach(look);
  });
  observer.observe(grid, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ['id'] });
  globalThis.tandemBench = { noted, long: 0 };
  return { rows: rows().length, column, heads };
})()
"#;

/// A row that was changed: when, whose, and the round trip in milliseconds.
pub(super) type Noted = (f64, String, u32);

/// Begins to note.
///
/// # Errors
///
/// If the page is another one.
pub(super) fn observe(browser: &Browser) -> Result<()> {
    let found = browser.step(&json!({ "do": "evaluate", "script": OBSERVE }))?;
    let rows = found["rows"].as_u64().unwrap_or_default();
    ensure!(rows > 0 && found["column"].as_i64() >= Some(0), "the page of peers: {found}");
    Ok(())
}

/// What was noted.
///
/// # Errors
///
/// If the page is gone.
pub(super) fn noted(browser: &Browser) -> Result<Vec<Noted>> {
    let step = json!({ "do": "evaluate", "script": "globalThis.tandemBench.noted" });
    let noted = browser.step(&step)?;
    let one = |value: &serde_json::Value| {
        let us = u32::try_from(value[2].as_u64()?).ok()?;
        Some((value[0].as_f64()?, value[1].as_str()?.to_owned(), us))
    };
    let all: Option<Vec<_>> = noted.as_array().context("a list")?.iter().map(one).collect();
    all.context("each has a time, a name and a number")
}

/// How long each event of a marked peer took to be seen.
pub(super) fn arrivals(sent: &[Sent], noted: &[Noted]) -> Arrived {
    let marked = sent.iter().filter_map(|sent| match &sent.what {
        What::RoundTrip { number, us, is_marked: true } => Some((sent.at_ms, number, us / 1000)),
        _ => None,
    });
    let mut arrived = Arrived::default();
    let marked: Vec<_> = marked.collect();
    for (at_ms, number, trip) in &marked {
        // It, or a later one that took its place before the page was changed.
        let later: Vec<u32> = marked
            .iter()
            .filter(|(later_ms, other, _)| other == number && later_ms >= at_ms)
            .map(|(_, _, trip)| *trip)
            .take(3)
            .collect();
        let is_it = |(when, name, shown): &&Noted| {
            // A browser's clock has whole milliseconds.
            *name == **number && *when + 1.0 >= *at_ms && (shown == trip || later.contains(shown))
        };
        match noted.iter().find(is_it) {
            Some((when, ..)) => arrived.delays.push((*at_ms, when - at_ms)),
            None => arrived.lost += 1,
        }
    }
    arrived
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_the_event_or_the_one_that_overtook_it() {
        let event = |at_ms, us| {
            let what = What::RoundTrip { number: "200".to_owned(), us, is_marked: true };
            Sent { at_ms, server: 0, what }
        };
        let sent = [event(10.4, 11_000), event(20.0, 21_000), event(30.0, 31_000)];
        let noted = [
            (5.0, "200".to_owned(), 11),
            (60.0, "201".to_owned(), 11),
            (70.0, "200".to_owned(), 21),
        ];
        let arrived = arrivals(&sent, &noted);
        assert_eq!(arrived.delays, [(10.4, 70.0 - 10.4), (20.0, 50.0)]);
        assert_eq!(arrived.lost, 1);
    }
}
