//! The arithmetic of leases: how long a record lives, and when it is written again.
//!
//! Nothing here knows a phone. Who owns a record is in `record`.

use std::time::{Duration, Instant};

/// A record is gone at the latest its lease and this after it was last written.
///
/// One second of it is for memcached's clock; the other pays for the time that a write was under way.
pub const GRACE: Duration = Duration::from_secs(2);
/// No record is renewed more often than this, however little of its registration is left.
pub const MIN_RENEWAL: Duration = Duration::from_secs(1);
/// By how much a node lets those go first that know better, when a cache server has lost its
/// content or was away. More than a probe interval and a deadline, for nodes learn of it as far
/// apart as that; and twice it leaves half of the heal window.
pub const YIELD_STEP: Duration = Duration::from_millis(700);

/// memcached's clock ticks in whole seconds: an item lives up to one second less than it was told.
const TTL_MARGIN: Duration = Duration::from_secs(1);
/// Renewals come up to this part of the third early, each key by its own share.
const SPREAD_DIVISOR: u32 = 4;

/// The smaller of the time left and the lease. No end (`None`) is longer than any lease.
pub(crate) fn span(now: Instant, expires: Option<Instant>, lease: Duration) -> Duration {
    expires.map_or(lease, |end| end.saturating_duration_since(now).min(lease))
}

/// The time to live for memcached, in whole seconds.
pub(crate) fn ttl(span: Duration) -> Duration {
    let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    Duration::from_secs(whole) + TTL_MARGIN
}

/// How long after a write the record is written again: at the latest a third of `span`.
///
/// After a load or a republication all records are of one age. Each key's own share of a quarter
/// of the third keeps their renewals apart, and further apart each time.
pub(crate) fn renewal(span: Duration, key: &[u8]) -> Duration {
    let third = span / 3;
    let share = (hash(key) >> 48) as u32;
    let early = (third / SPREAD_DIVISOR).mul_f64(f64::from(share) / f64::from(u16::MAX));
    third.saturating_sub(early).max(MIN_RENEWAL)
}

/// FNV-1a with a final mix, so that names which differ in their last digit lie far apart.
fn hash(key: &[u8]) -> u64 {
    let h = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^ (h >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_lives_for_the_smaller_of_time_left_and_lease_and_a_margin() {
        let now = Instant::now();
        let lease = Duration::from_secs(60);
        let ttl_for = |left_ms: u64| {
            ttl(span(now, Some(now + Duration::from_millis(left_ms)), lease)).as_secs()
        };
        assert_eq!(ttl_for(3_600_000), 61);
        assert_eq!(ttl_for(30_000), 31);
        assert_eq!(ttl_for(30_001), 32, "rounded up to whole seconds");
        assert_eq!(ttl_for(0), 1);
        assert_eq!(ttl(span(now, None, lease)).as_secs(), 61, "a contact that never expires");
    }

    #[test]
    fn a_record_never_outlives_lease_and_grace_less_the_second_for_delays() {
        let now = Instant::now();
        for lease in 1..100 {
            let lease = Duration::from_secs(lease);
            for left_ms in (0..100_000).step_by(37) {
                let left = Some(now + Duration::from_millis(left_ms));
                assert!(ttl(span(now, left, lease)) <= lease + GRACE - Duration::from_secs(1));
            }
        }
    }

    #[test]
    fn renewals_come_within_the_last_quarter_of_the_third_and_never_later() {
        let span = Duration::from_secs(60);
        let mut by_second = [0_usize; 21];
        for n in 0..10_000 {
            let after = renewal(span, format!("PEER_{n}").as_bytes());
            assert!(after >= Duration::from_secs(15) && after <= Duration::from_secs(20));
            by_second[after.as_secs() as usize] += 1;
        }
        for second in 15..20 {
            assert!((1_500..2_500).contains(&by_second[second]), "{by_second:?}");
        }
    }

    #[test]
    fn a_registration_near_its_end_is_not_renewed_ever_faster() {
        assert_eq!(renewal(Duration::from_millis(300), b"PEER_1"), MIN_RENEWAL);
        assert_eq!(renewal(Duration::ZERO, b"PEER_1"), MIN_RENEWAL);
    }
}
