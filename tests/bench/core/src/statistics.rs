//! Medians with their range: all that numbers from a drifting machine can bear.

pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// `None` if there is nothing to sum up.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Spread { median, least, greatest })
    }

    /// Of the ratios within each round.
    pub(crate) fn of_ratios(numerators: &[f64], denominators: &[f64]) -> Option<Self> {
        Self::of(numerators.iter().zip(denominators).map(|(above, below)| above / below).collect())
    }
}

/// Three significant digits or the whole number.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        0.0..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

pub(crate) fn spread(spread: &Spread) -> String {
    format!("{} [{}..{}]", short(spread.median), short(spread.least), short(spread.greatest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let odd = Spread::of(vec![9.0, 1.0, 5.0]).unwrap();
        assert_eq!((odd.least, odd.median, odd.greatest), (1.0, 5.0, 9.0));
        assert_eq!(Spread::of(vec![1.0, 2.0]).unwrap().median, 1.5);
        assert!(Spread::of(Vec::new()).is_none());
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let ratios = Spread::of_ratios(&[2.0, 30.0, 4.0], &[1.0, 10.0]).unwrap();
        assert_eq!((ratios.least, ratios.greatest), (2.0, 3.0));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.1234, 1.5, 12.34, 1234.5].map(short), ["0", "0.123", "1.50", "12.3", "1234"]);
    }
}
