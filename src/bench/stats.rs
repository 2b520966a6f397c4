//! Statistics of repeated measurements: the median and quartiles, which are robust against a single
//! slow round.

/// Measurements of one quantity, sorted.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn push(&mut self, value: f64) {
        let at = self.0.partition_point(|other| *other < value);
        self.0.insert(at, value);
    }

    /// Returns the quantile at the share `of`, with linear interpolation (type 7 of Hyndman and
    /// Fan).
    ///
    /// # Panics
    /// If there are no measurements.
    pub fn quantile(&self, of: f64) -> f64 {
        let at = of * (self.0.len() - 1) as f64;
        let (below, above) = (self.0[at.floor() as usize], self.0[at.ceil() as usize]);
        below + (above - below) * at.fract()
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Samples {
        let mut samples = Samples::default();
        values.into_iter().for_each(|value| samples.push(value));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_the_middle_whatever_the_order() {
        let samples: Samples = [9.0, 1.0, 4.0, 2.0].into_iter().collect();
        assert_eq!((samples.median(), samples.quartiles()), (3.0, (1.75, 5.25)));
        let one: Samples = [7.0].into_iter().collect();
        assert_eq!((one.median(), one.quartiles()), (7.0, (7.0, 7.0)));
    }
}
