//! Metrics: the histogram, and helpers to encode metric families for a scrape.
//!
//! Counters, counter families and the encoding come from `prometheus-client`. The histogram is our
//! own because the library's takes a mutex for every observation, and a thread preempted while
//! holding it would block all others.
//!
//! Nothing here is global. Each component owns its metrics and registers them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

/// Bucket bounds of durations, in nanoseconds: from a cached answer to a query's time limit.
const NANOSECONDS: [u64; 19] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
    60_000_000_000,
];

/// Bucket bounds of sizes.
const SIZES: [u64; 9] = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536];

/// Lock-free histogram: an observation is two atomic additions. Clones share their counts.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: &'static [u64],
    /// Divisor from observed to exported values.
    unit: f64,
    /// One for each bound, and one for larger values.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// Creates a histogram of durations, exported in seconds.
    pub fn of_times() -> Histogram {
        Histogram::new(&NANOSECONDS, 1e9)
    }

    /// Creates a histogram of whole numbers.
    pub fn of_sizes() -> Histogram {
        Histogram::new(&SIZES, 1.0)
    }

    fn new(bounds: &'static [u64], unit: f64) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Buckets { bounds, unit, counts, sum: AtomicU64::new(0) }))
    }

    pub fn observe(&self, value: u64) {
        let bucket =
            self.0.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.0.bounds.len());
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Records a duration.
    pub fn observe_duration(&self, time: Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Reports whether nothing has been observed.
    pub fn is_empty(&self) -> bool {
        self.0.counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let Buckets { bounds, unit, counts, sum } = &*self.0;
        let bounds = bounds.iter().map(|bound| *bound as f64 / unit).chain([f64::INFINITY]);
        let counts = counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = sum.load(Ordering::Relaxed) as f64 / unit;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// Starts a metric family that is computed at scrape time. `help` has no full stop; one is added,
/// as the library's registry does.
pub fn family<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
    metric_type: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, &format!("{help}."), None, metric_type)
}

pub fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    family(encoder, name, help, MetricType::Gauge)?.encode_gauge(&value)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn a_histogram_shows_how_many_were_at_most_each_bound() {
        let histogram = Histogram::of_times();
        let mut registry = Registry::default();
        registry.register("took_seconds", "Time", histogram.clone());
        histogram.observe_duration(Duration::from_micros(250));
        histogram.observe_duration(Duration::from_micros(251));
        histogram.observe_duration(Duration::from_secs(100));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        assert_eq!(value(r#"took_seconds_bucket{le="0.0001"}"#), Some("0"));
        assert_eq!(value(r#"took_seconds_bucket{le="0.00025"}"#), Some("1"));
        assert_eq!(value(r#"took_seconds_bucket{le="60.0"}"#), Some("2"));
        assert_eq!(value(r#"took_seconds_bucket{le="+Inf"}"#), Some("3"));
        assert_eq!(
            (value("took_seconds_count"), value("took_seconds_sum")),
            (Some("3"), Some("100.000501"))
        );
    }
}
