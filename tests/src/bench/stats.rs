//! The arithmetic: percentiles, medians over rounds, and how far a median can be trusted.
//!
//! The machine is shared and noisy, so a figure is always a comparison inside a round, and what is told is the median
//! over the rounds. Nothing is thrown away.

/// How often the rounds are drawn anew for an interval.
const DRAWS: usize = 1000;

/// A figure and the interval in which it lies in 95 of 100 repetitions (bootstrap over the rounds).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    /// The figure.
    pub(super) value: f64,
    /// Lower end.
    pub(super) low: f64,
    /// Upper end.
    pub(super) high: f64,
}

/// The smallest value that is not below this share of all values (nearest rank); 0 of none.
pub(super) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is small and not negative")]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// The middle value, or the mean of the middle two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    if sorted.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.saturating_sub(1)), at(half)) }
}

/// Median over the rounds.
pub(super) fn over_rounds(rounds: &[f64]) -> Estimate {
    estimate(rounds.len(), |chosen| median(&pick(rounds, chosen)))
}

/// Median of one thing over the median of another, both from the same rounds. Of each round's own ratios nothing could be said where
/// noise makes a divisor tiny or negative.
pub(super) fn ratio(over: &[f64], under: &[f64]) -> Estimate {
    let rounds = over.len().min(under.len());
    estimate(rounds, |chosen| median(&pick(over, chosen)) / median(&pick(under, chosen)))
}

/// Round by round difference.
pub(super) fn minus(of: &[f64], less: &[f64]) -> Vec<f64> {
    of.iter().zip(less).map(|(of, less)| of - less).collect()
}

fn estimate(rounds: usize, figure: impl Fn(&[usize]) -> f64) -> Estimate {
    let all: Vec<usize> = (0..rounds).collect();
    let value = figure(&all);
    // A fixed beginning: the same rounds give the same interval.
    let mut dice = Dice::new(0x5eed);
    let drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let chosen: Vec<usize> = (0..rounds).map(|_| dice.below(rounds)).collect();
            figure(&chosen)
        })
        .collect();
    Estimate { value, low: percentile(&drawn, 0.025), high: percentile(&drawn, 0.975) }
}

fn pick(values: &[f64], chosen: &[usize]) -> Vec<f64> {
    chosen.iter().filter_map(|index| values.get(*index).copied()).collect()
}

/// Random numbers that need not be good (xorshift64).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// With a beginning, which must not be 0.
    pub(super) const fn new(seed: u64) -> Self {
        Self(if seed == 0 { 1 } else { seed })
    }

    /// A number below `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.0 % bound).unwrap_or(0)
    }

    /// Puts things in random order.
    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        for (share, expected) in [(0.0, 1.0), (0.01, 1.0), (0.5, 50.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)] {
            assert_eq!(percentile(&values, share), expected, "{share}");
        }
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn a_ratio_stands_where_one_round_is_broken() {
        // The last round's divisor is noise below zero.
        let (over, under) = ([30.0, 32.0, 31.0, 90.0, 29.0], [20.0, 21.0, 20.0, 60.0, -1.0]);
        let found = ratio(&over, &under);
        assert_eq!(found.value, 31.0 / 20.0);
        assert!(found.low <= found.value && found.value <= found.high, "{found:?}");
    }

    #[test]
    fn equal_rounds_leave_no_doubt() {
        assert_eq!(over_rounds(&[2.0; 9]), Estimate { value: 2.0, low: 2.0, high: 2.0 });
        assert_eq!(minus(&[5.0, 7.0], &[1.0, 2.0]), [4.0, 5.0]);
    }

    #[test]
    fn a_shuffle_keeps_everything_and_moves_something() {
        let mut dice = Dice::new(1);
        let mut firsts = [0; 4];
        for _ in 0..1000 {
            let mut order = [0, 1, 2, 3];
            dice.shuffle(&mut order);
            firsts[order[0]] += 1;
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3]);
        }
        assert!(firsts.iter().all(|count| *count > 150), "{firsts:?}");
    }
}
