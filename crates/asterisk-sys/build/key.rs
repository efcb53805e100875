//! The key that a module shows to be loaded, read out of `asterisk/module.h`.
//!
//! bindgen drops it, for the literal goes over several lines. Code that contains it must be
//! under the GNU General Public License, version 2 or later; this crate is.

use std::fs;
use std::path::Path;

const DEFINE: &str = "#define ASTERISK_GPL_KEY";

/// The key as a Rust literal of a C string.
pub(crate) fn literal(include_dir: &Path) -> Result<String, String> {
    let path = include_dir.join("asterisk/module.h");
    let header =
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;

    // In C a backslash before a line's end joins the two lines.
    let joined = header.replace("\\\n", "");
    let (_, rest) = joined.split_once(DEFINE).ok_or(format!("{}: no key", path.display()))?;
    let literal = rest.lines().next().unwrap_or_default().trim();
    if literal.len() < 2 || !literal.starts_with('"') || !literal.ends_with('"') {
        return Err(format!("{}: the key is not one literal", path.display()));
    }
    Ok(format!("c{literal}"))
}
