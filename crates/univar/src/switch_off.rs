//! Rules that the tests switch off, to see that they notice.
//!
//! Only with the cargo feature `switch-off`, which nothing but those tests is built with:
//! `TANDEM_SWITCH_OFF` then names rules, with blanks between. Without the feature every rule is in
//! force and this file costs nothing.

#[cfg(not(feature = "switch-off"))]
mod rules {
    pub(crate) const fn repair() -> bool {
        false
    }

    pub(crate) const fn tombstones() -> bool {
        false
    }

    pub(crate) const fn epoch() -> bool {
        false
    }
}

#[cfg(feature = "switch-off")]
mod rules {
    use std::sync::OnceLock;

    static OFF: OnceLock<String> = OnceLock::new();

    fn is_off(rule: &str) -> bool {
        let off = OFF.get_or_init(|| std::env::var("TANDEM_SWITCH_OFF").unwrap_or_default());
        off.split_ascii_whitespace().any(|word| word == rule)
    }

    pub(crate) fn repair() -> bool {
        is_off("repair")
    }

    pub(crate) fn tombstones() -> bool {
        is_off("tombstones")
    }

    pub(crate) fn epoch() -> bool {
        is_off("epoch")
    }
}

/// Copies that are older or missing are not written again, neither by who reads nor by healing.
pub(crate) use rules::repair;

/// A delete removes the item and leaves no trace.
pub(crate) use rules::tombstones;

/// Every miss counts, whatever the marker says.
pub(crate) use rules::epoch;
