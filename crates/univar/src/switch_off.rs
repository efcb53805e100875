//! Rules that the tests switch off, to see that they notice.
//!
//! In a product every rule is in force and this file costs nothing. With the cargo feature
//! `switch-off`, which nothing but the tests of whole nodes is built with, `TANDEM_SWITCH_OFF` names
//! rules, with blanks between. In this crate's own tests the model says which one ([`rules::set`]).

macro_rules! rules {
    ($($(#[$says:meta])* $rule:ident;)*) => {
        #[cfg(not(any(test, feature = "switch-off")))]
        mod rules {
            $($(#[$says])* pub(crate) const fn $rule() -> bool { false })*
        }

        #[cfg(all(feature = "switch-off", not(test)))]
        mod rules {
            use std::sync::OnceLock;

            static OFF: OnceLock<String> = OnceLock::new();

            fn is_off(rule: &str) -> bool {
                let off = OFF.get_or_init(|| std::env::var("TANDEM_SWITCH_OFF").unwrap_or_default());
                off.split_ascii_whitespace().any(|word| word == rule)
            }

            $($(#[$says])* pub(crate) fn $rule() -> bool { is_off(stringify!($rule)) })*
        }

        #[cfg(test)]
        mod rules {
            use std::cell::Cell;

            thread_local! {
                static OFF: Cell<Option<&'static str>> = const { Cell::new(None) };
            }

            /// Switches one rule off on this thread, and all others on.
            pub(crate) fn set(off: Option<&'static str>) {
                OFF.set(off);
            }

            $($(#[$says])* pub(crate) fn $rule() -> bool { OFF.get() == Some(stringify!($rule)) })*
        }
    };
}

rules! {
    /// Copies that are older or missing are not written again, neither by who reads nor by healing.
    repair;
    /// A delete removes the item and leaves no trace.
    tombstones;
    /// Every miss counts, whatever the marker says.
    epoch;
    /// Who adds or counts writes both copies at once.
    turns;
    /// What follows from what was there is as new as what asks for nothing.
    ranks;
    /// The first copy that has anything counts, not the newest.
    newest;
    /// A cache server that missed a write is not healed.
    owing;
    /// Healing ends with the window, whether anything was compared or not.
    comparing;
}

pub(crate) use rules::*;
