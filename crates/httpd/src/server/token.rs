//! What an event of the poller's is about, in 64 bits.

use rustix::event::epoll::EventData;

/// Whose socket it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// A connection's slot, and which of those that have been in it.
    Connection {
        slot: u32,
        turn: u32,
    },
    Listener(u32),
    Waker,
    /// A socket of the service's.
    Watched(u64),
}

const KIND_SHIFT: u32 = 62;
/// A slot's turns are counted in 30 bits.
pub(super) const TURN_MASK: u32 = (1 << 30) - 1;

impl Token {
    pub(super) fn data(self) -> EventData {
        EventData::new_u64(match self {
            Self::Connection { slot, turn } => {
                (u64::from(turn & TURN_MASK) << 32) | u64::from(slot)
            }
            Self::Listener(index) => (1 << KIND_SHIFT) | u64::from(index),
            Self::Waker => 2 << KIND_SHIFT,
            Self::Watched(key) => (3 << KIND_SHIFT) | key,
        })
    }

    pub(super) fn of(data: EventData) -> Self {
        let bits = data.u64();
        let low = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        match bits >> KIND_SHIFT {
            0 => {
                let turn = u32::try_from(bits >> 32).unwrap_or_default();
                Self::Connection { slot: low, turn }
            }
            1 => Self::Listener(low),
            2 => Self::Waker,
            _ => Self::Watched(bits & super::service::WATCH_KEY_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_kernel() {
        for token in [
            Token::Connection { slot: 0, turn: 0 },
            Token::Connection { slot: u32::MAX, turn: TURN_MASK },
            Token::Listener(3),
            Token::Waker,
            Token::Watched(0),
            Token::Watched(super::super::service::WATCH_KEY_MAX),
        ] {
            assert_eq!(Token::of(token.data()), token);
        }
    }
}
