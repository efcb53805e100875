//! Waiting for a condition with a bound. The only place in the lab that sleeps.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{LabError, Result};

/// How often a condition is looked at. Short beside anything that is waited for, long beside looking.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks at `condition` until it gives something, and gives that back.
///
/// `what` completes the sentence "waited in vain until ..."; `log` is the file that the reader of that sentence
/// should open.
///
/// # Errors
///
/// [`LabError::TimedOut`] when `within` has passed, or the first error of `condition` itself.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    log: &Path,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(LabError::TimedOut { what: what.to_owned(), within, log: log.to_owned() });
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// [`wait_for`] with a condition that is true or false.
///
/// # Errors
///
/// As [`wait_for`].
pub fn wait_until(
    what: &str,
    within: Duration,
    log: &Path,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    wait_for(what, within, log, || Ok(condition()?.then_some(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_never_comes_true_names_itself_and_the_log() {
        let error =
            wait_until("the moon is full", Duration::ZERO, Path::new("moon.log"), || Ok(false))
                .unwrap_err();
        assert_eq!(error.to_string(), "waited 0ns in vain until the moon is full; see moon.log");
    }

    #[test]
    fn a_condition_is_looked_at_again_until_it_holds() {
        let mut looks = 0;
        wait_until("three looks were taken", Duration::from_secs(5), Path::new("x"), || {
            looks += 1;
            Ok(looks == 3)
        })
        .unwrap();
        assert_eq!(looks, 3);
    }
}
