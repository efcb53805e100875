//! Figures from noisy runs: ABBA pairs, and a bound for the median that assumes no distribution.
//!
//! The machine drifts, so a run of one side is only compared with its neighbour of the other side.
//! [`abba`] says in which order they run; the figure is the 95 % bound of the median of the pairs'
//! ratios, on the side that speaks against us.

/// Which side a run measures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    /// What is measured.
    Ours,
    /// What it is compared with.
    Theirs,
}

/// `2 * pairs` runs: A B, B A, A B, ... so that a steady drift falls on both sides alike.
pub(crate) fn abba(pairs: usize) -> impl Iterator<Item = [Side; 2]> {
    (0..pairs).map(|pair| match pair % 2 {
        0 => [Side::Ours, Side::Theirs],
        _ => [Side::Theirs, Side::Ours],
    })
}

/// A median with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Median {
    pub(crate) low: f64,
    pub(crate) middle: f64,
    pub(crate) high: f64,
}

/// The median of `values`, with the one-sided 95 % bounds from the order statistics: `low` is such
/// that the true median is below it with a probability of at most 5 %, and `high` likewise above. Fewer
/// than five values cannot bound it so: they give the least and the greatest.
///
/// # Panics
///
/// On no values at all: a bench without runs is a mistake of the bench.
pub(crate) fn median(values: &[f64]) -> Median {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    assert!(n > 0, "a median needs values");
    let outside = outside(n);
    let middle = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0;
    Median { low: sorted[outside], middle, high: sorted[n - 1 - outside] }
}

/// How many of `n` sorted values may be left out at one end: the largest `k` for which at most `k`
/// heads in `n` tosses have a probability of 5 % or less, else 0.
fn outside(n: usize) -> usize {
    let mut term = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut at_most = term;
    let mut left_out = 0;
    while at_most <= 0.05 && left_out < (n - 1) / 2 {
        left_out += 1;
        term *= (n - left_out + 1) as f64 / left_out as f64;
        at_most += term;
    }
    // The last step was one too far, for a bound at index k needs P(at most k heads).
    left_out.saturating_sub(1)
}

/// The value below which a `share` of the sorted `values` lies (nearest rank).
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The 95 % bound above the percentile of `share`: the value whose rank is so high that at most 5 % of samples
/// of this size have that many values below the true percentile (binomial, normal approximation).
pub(crate) fn percentile_bound(values: &[f64], share: f64) -> f64 {
    const ONE_SIDED_95: f64 = 1.645;
    let n = values.len() as f64;
    let above = ONE_SIDED_95 * (share * (1.0 - share) / n).sqrt();
    percentile(values, (share + above).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_alternate_who_goes_first() {
        let order: Vec<_> = abba(3).collect();
        assert_eq!(order[0], [Side::Ours, Side::Theirs]);
        assert_eq!(order[1], [Side::Theirs, Side::Ours]);
        assert_eq!(order[2], order[0]);
    }

    #[test]
    fn the_bounds_of_thirty_values_are_the_eleventh_from_each_end() {
        // P(at most 9 heads in 30) = 0.0214, at most 10: 0.0494, at most 11: 0.1002. So the true
        // median lies below the 11th value (10 left out) with at most 4.94 %.
        assert_eq!(outside(30), 10);
        let values: Vec<f64> = (1..=30).map(f64::from).collect();
        let median = median(&values);
        assert_eq!((median.low, median.middle, median.high), (11.0, 15.5, 20.0));
    }

    #[test]
    fn few_values_leave_nothing_out() {
        assert_eq!(outside(1), 0);
        assert_eq!(outside(4), 0);
        assert_eq!(outside(5), 0);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 500.0);
        assert_eq!(percentile(&values, 0.999), 999.0);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
    }

    #[test]
    fn the_bound_of_a_percentile_is_above_it_and_is_at_most_the_greatest_value() {
        let values: Vec<f64> = (1..=4000).map(f64::from).collect();
        // 3960 + 1.645 * sqrt(4000 * 0.99 * 0.01) = 3970.4
        assert_eq!(percentile_bound(&values, 0.99), 3971.0);
        assert_eq!(percentile_bound(&values[..10], 0.999), 10.0);
    }
}
