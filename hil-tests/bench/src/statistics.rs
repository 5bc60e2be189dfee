//! Percentiles, and what blocks that were measured in turn say about a difference.

/// Samples of one case and pair, block by block; milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blocks(pub(crate) Vec<Vec<f64>>);

impl Blocks {
    /// Number of samples.
    pub(crate) fn n(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The percentile over all blocks together; `None` without samples.
    pub(crate) fn pooled(&self, percent: f64) -> Option<f64> {
        percentile(self.0.iter().flatten().copied(), percent)
    }

    /// The percentile of each block that has samples.
    pub(crate) fn each(&self, percent: f64) -> Vec<Option<f64>> {
        self.0.iter().map(|block| percentile(block.iter().copied(), percent)).collect()
    }
}

/// The nearest-rank percentile; `None` without samples.
pub(crate) fn percentile(samples: impl Iterator<Item = f64>, percent: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = samples.collect();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The 90 % interval of the mean of `ours - rival` over blocks that have both; `None` with fewer than two.
///
/// Student's t: blocks are few, and what moves the whole machine moves both members of a difference.
pub(crate) fn interval(ours: &[Option<f64>], rival: &[Option<f64>]) -> Option<(f64, f64)> {
    let differences: Vec<f64> =
        ours.iter().zip(rival).filter_map(|(ours, rival)| Some((*ours)? - (*rival)?)).collect();
    let count = differences.len() as f64;
    if differences.len() < 2 {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / count;
    let variance = differences.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let half = student_95(differences.len() - 1) * (variance / count).sqrt();
    Some((mean - half, mean + half))
}

/// The 95 % quantile of Student's t, by degrees of freedom (at least 1).
fn student_95(freedom: usize) -> f64 {
    const TABLE: [f64; 15] = [
        6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761,
        1.753,
    ];
    TABLE.get(freedom - 1).copied().unwrap_or(1.753)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_the_nearest_rank() {
        let samples = || (1..=200).rev().map(f64::from);
        assert_eq!(percentile(samples(), 50.0), Some(100.0));
        assert_eq!(percentile(samples(), 95.0), Some(190.0));
        assert_eq!(percentile(samples(), 100.0), Some(200.0));
        assert_eq!(percentile(core::iter::once(7.0), 50.0), Some(7.0));
        assert_eq!(percentile(core::iter::empty(), 50.0), None);
    }

    #[test]
    fn interval_of_equal_differences_is_a_point() {
        let ours = [Some(1.0), Some(2.0), Some(3.0), None];
        let rival = [Some(3.0), Some(4.0), Some(5.0), Some(6.0)];
        assert_eq!(interval(&ours, &rival), Some((-2.0, -2.0)));
        assert_eq!(interval(&ours[..1], &rival[..1]), None, "one block says nothing about its spread");
    }

    #[test]
    fn interval_widens_with_the_spread() {
        // Differences -1, -2, -3, -4, -5: mean -3, deviation 1.5811, t(4) = 2.132.
        let ours: Vec<Option<f64>> = (1..=5).map(|one| Some(-f64::from(one))).collect();
        let (low, high) = interval(&ours, &[Some(0.0); 5]).expect("five blocks are enough");
        assert!((low + 4.5075).abs() < 0.001 && (high + 1.4925).abs() < 0.001, "{low} {high}");
    }
}
