//! Writes the metrics of one scrape.

use crate::base::time::Micros;
use crate::engine::Histogram;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use std::fmt;

/// The bounds of the histograms are powers of two of a microsecond, 16 µs to 67 s: at these bounds
/// the loop counts exactly.
const POWER_MIN: u32 = 4;
const POWER_MAX: u32 = 26;

/// Writes the metrics of one scrape.
pub(super) struct MetricsWriter<'a, 'e>(pub(super) &'a mut DescriptorEncoder<'e>);

/// One metric with labels.
pub(super) struct Family<'a, 'e>(pub(super) &'a mut MetricEncoder<'e>);

/// The exemplar of a value, as OpenMetrics allows one: none is ever given.
pub(super) const NO_EXEMPLAR: Option<&Exemplar<[(&str, &str); 0], u64>> = None;

impl MetricsWriter<'_, '_> {
    pub(super) fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write(&mut self.0.encode_descriptor(name, help, None, kind)?)
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |metric| {
            metric.encode_gauge(&value)
        })
    }

    /// Writes a counter. `name` has no `_total`: the encoder adds it.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |metric| {
            metric.encode_counter(&value, NO_EXEMPLAR)
        })
    }

    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut Family<'_, '_>) -> fmt::Result,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |metric| {
            write(&mut Family(metric))
        })
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, counts: &Histogram) -> fmt::Result {
        self.family(name, help, MetricType::Histogram, |metric| {
            write_histogram(metric, counts)
        })
    }

    /// Writes one histogram for each set of labels.
    pub(super) fn histograms<'h, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        all: impl Iterator<Item = ([(&'h str, &'h str); N], &'h Histogram)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Histogram, |metric| {
            for (labels, counts) in all {
                write_histogram(&mut metric.encode_family(&labels)?, counts)?;
            }
            Ok(())
        })
    }
}

fn write_histogram(metric: &mut MetricEncoder<'_>, counts: &Histogram) -> fmt::Result {
    let mut below = 0;
    let mut buckets: Vec<(f64, u64)> = (POWER_MIN..=POWER_MAX)
        .map(|power| {
            let up_to = counts.below_power(power);
            let within = up_to - std::mem::replace(&mut below, up_to);
            (Micros(1 << power).as_secs_f64(), within)
        })
        .collect();
    let count = counts.count();
    buckets.push((f64::MAX, count - below));
    let sum = Micros(counts.sum()).as_secs_f64();
    metric.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
}

impl Family<'_, '_> {
    pub(super) fn count<const N: usize>(
        &mut self,
        labels: &[(&str, &str); N],
        value: u64,
    ) -> fmt::Result {
        let mut metric = self.0.encode_family(labels)?;
        metric.encode_counter(&value, NO_EXEMPLAR)
    }
}
