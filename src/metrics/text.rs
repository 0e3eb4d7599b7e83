//! The numbers as OpenMetrics text, which Prometheus reads.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::cells::{Kind, Reading};
use super::list::{Metric, Metrics};

/// The media type of this form.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as they stand.
///
/// # Errors
/// None that a string as the target can have; the encoder's signature has one.
pub fn as_text(metrics: &Arc<Metrics>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(All(Arc::clone(metrics))));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct All(Arc<Metrics>);

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (metric, series) in self.0.read() {
            let (name, unit) = metric.family();
            let unit = unit.map(|unit| Unit::Other(unit.to_owned()));
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
                Kind::Info => MetricType::Info,
            };
            let mut family = encoder.encode_descriptor(&name, &metric.sentence(), unit.as_ref(), kind)?;
            for (number, reading) in series.iter().enumerate() {
                let labels = metric.labels(number);
                match (metric.kind, labels.is_empty()) {
                    (Kind::Info, _) => family.encode_info(&labels)?,
                    (_, true) => encode(&mut family, metric, reading)?,
                    (_, false) => encode(&mut family.encode_family(&labels)?, metric, reading)?,
                }
            }
        }
        Ok(())
    }
}

fn encode(encoder: &mut MetricEncoder<'_>, metric: &Metric, reading: &Reading) -> fmt::Result {
    match reading {
        Reading::Sum(sum) if metric.is_time() => {
            encoder.encode_counter::<NoLabelSet, _, f64>(&metric.in_unit(*sum), None)
        }
        Reading::Sum(sum) => encoder.encode_counter::<NoLabelSet, _, f64>(sum, None),
        // A level that others bring down may be read between two steps of theirs.
        Reading::Level(level) if metric.is_time() => {
            encoder.encode_gauge(&metric.in_unit(u64::try_from(*level).unwrap_or(0)))
        }
        Reading::Level(level) => encoder.encode_gauge(&(*level).max(0)),
        Reading::Distribution { bounds, counts, sum } => {
            let upper = bounds.iter().map(|bound| metric.in_unit(*bound)).chain([f64::INFINITY]);
            let buckets: Vec<_> = upper.zip(counts.iter().copied()).collect();
            encoder.encode_histogram::<NoLabelSet>(metric.in_unit(*sum), counts.iter().sum(), &buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::labels::{Ending, HandshakeOutcome, Protocol};
    use super::*;
    use crate::protocol::Close;

    #[test]
    fn each_kind_is_written_with_its_unit_and_its_attributes() {
        let metrics = Arc::new(Metrics::default());
        metrics.handshakes.inc(HandshakeOutcome::Full);
        metrics.closes.inc(Ending::By(Close::Slow));
        metrics.degraded.add((), 1_500_000);
        metrics.delivery_duration.record_many(Protocol::Native, 2_000_000, 3);
        let text = as_text(&metrics).unwrap();
        for line in [
            "# TYPE confab_handshakes counter",
            "confab_handshakes_total{outcome=\"full\"} 1",
            "confab_closes_total{code=\"4008\"} 1",
            "# UNIT confab_store_degraded_seconds seconds",
            "confab_store_degraded_seconds_total 1.5",
            "confab_delivery_duration_seconds_bucket{le=\"1.0\",protocol=\"native\"} 0",
            "confab_delivery_duration_seconds_bucket{le=\"2.5\",protocol=\"native\"} 3",
            "confab_delivery_duration_seconds_bucket{le=\"+Inf\",protocol=\"native\"} 3",
            "confab_delivery_duration_seconds_sum{protocol=\"native\"} 6.0",
            concat!("confab_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|is| is == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
