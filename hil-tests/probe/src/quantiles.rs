//! Quantiles of a list of measurements.

/// The value below which `permille` thousandths of the sorted measurements lie (nearest rank); `None` of none.
#[must_use]
pub fn quantile(sorted: &[u64], permille: usize) -> Option<u64> {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(quantile(&hundred, 500), Some(50));
        assert_eq!(quantile(&hundred, 950), Some(95));
        assert_eq!(quantile(&hundred, 1000), Some(100));
        assert_eq!(quantile(&[7], 10), Some(7));
        assert_eq!(quantile(&[], 500), None);
    }
}
