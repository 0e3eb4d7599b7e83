//! The export of metrics by OTLP over gRPC: all numbers, at once, every so often.
//!
//! OpenTelemetry's SDK has no instrument that reads a histogram that is kept elsewhere, and its own would cost the hot path
//! a lock for every delivery. So the messages of the protocol are made here, of the same numbers as `/metrics`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric as Exported, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric::Data, number_data_point::Value as Number,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::SERVICE;
use crate::domain::Millis;
use crate::metrics::{Kind, Metric, Metrics, Reading};

/// The target of the lines about exports of metrics.
pub const EXPORT: &str = "confab::export";

/// How long one export may take; the next is not begun before.
const EXPORT_WITHIN: Duration = Duration::from_secs(10);

/// The export of one process.
#[derive(Debug)]
pub struct Meter {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Meter {
    /// Exports from now on. The connection is made when it is first needed.
    ///
    /// # Errors
    /// The endpoint can't be one.
    pub fn start(
        endpoint: &str,
        interval_ms: Millis,
        instance: &str,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, tonic::transport::Error> {
        let mut to = Endpoint::from_shared(endpoint.to_owned())?.timeout(EXPORT_WITHIN).connect_timeout(EXPORT_WITHIN);
        if endpoint.starts_with("https:") {
            to = to.tls_config(ClientTlsConfig::new().with_native_roots())?;
        }
        let export = Export {
            client: MetricsServiceClient::new(to.connect_lazy()),
            metrics: Arc::clone(metrics),
            resource: vec![
                attribute("service.name", SERVICE),
                attribute("service.instance.id", instance),
                attribute("service.version", env!("CARGO_PKG_VERSION")),
            ],
            began: now(),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(export.run(Duration::from_millis(interval_ms), stop.clone()));
        Ok(Self { stop, task })
    }

    /// Exports for the last time.
    pub async fn stop(self) {
        self.stop.cancel();
        // A panic of the task has been logged.
        let _ = self.task.await;
    }
}

struct Export {
    client: MetricsServiceClient<Channel>,
    metrics: Arc<Metrics>,
    resource: Vec<KeyValue>,
    /// When the sums were 0, in nanoseconds since 1970.
    began: u64,
}

impl Export {
    async fn run(mut self, every: Duration, stop: CancellationToken) {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first is due at once, and there is nothing to tell yet.
        tick.tick().await;
        let mut stopped = false;
        while !stopped {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => stopped = true,
            }
            let request = self.request();
            // One that hangs must not hold up the last one.
            let sent = tokio::select! {
                sent = self.client.export(request) => sent,
                () = stop.cancelled(), if !stopped => continue,
            };
            if let Err(status) = sent {
                tracing::warn!(target: EXPORT, code = ?status.code(), "metrics could not be sent to the collector");
            }
        }
    }

    fn request(&self) -> ExportMetricsServiceRequest {
        let time = now().max(self.began);
        let metrics = self
            .metrics
            .read()
            .into_iter()
            .map(|(metric, series)| exported(metric, &series, self.began, time))
            .collect();
        let scope = InstrumentationScope { name: SERVICE.to_owned(), ..InstrumentationScope::default() };
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(Resource { attributes: self.resource.clone(), ..Resource::default() }),
                scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }],
                ..ResourceMetrics::default()
            }],
        }
    }
}

fn exported(metric: &'static Metric, series: &[Reading], began: u64, time: u64) -> Exported {
    let attributes =
        |series: usize| metric.labels(series).into_iter().map(|(key, value)| attribute(key, value)).collect::<Vec<_>>();
    let cumulative = AggregationTemporality::Cumulative as i32;
    let data = match metric.kind {
        Kind::Histogram => Data::Histogram(Histogram {
            data_points: series
                .iter()
                .enumerate()
                .filter_map(|(number, reading)| {
                    let Reading::Distribution { bounds, counts, sum } = reading else { return None };
                    Some(HistogramDataPoint {
                        attributes: attributes(number),
                        start_time_unix_nano: began,
                        time_unix_nano: time,
                        count: counts.iter().sum(),
                        sum: Some(metric.in_unit(*sum)),
                        bucket_counts: counts.clone(),
                        explicit_bounds: bounds.iter().map(|bound| metric.in_unit(*bound)).collect(),
                        ..HistogramDataPoint::default()
                    })
                })
                .collect(),
            aggregation_temporality: cumulative,
        }),
        Kind::Counter | Kind::Gauge | Kind::Info => {
            let points = series.iter().enumerate().map(|(number, reading)| {
                let value = match reading {
                    Reading::Sum(sum) => *sum,
                    // A level that others bring down may be read between two steps of theirs.
                    Reading::Level(level) => u64::try_from(*level).unwrap_or(0),
                    Reading::Distribution { .. } => 0,
                };
                let value = if metric.is_time() {
                    Number::AsDouble(metric.in_unit(value))
                } else {
                    Number::AsInt(i64::try_from(value).unwrap_or(i64::MAX))
                };
                NumberDataPoint {
                    attributes: attributes(number),
                    start_time_unix_nano: began,
                    time_unix_nano: time,
                    value: Some(value),
                    ..NumberDataPoint::default()
                }
            });
            let data_points = points.collect();
            if metric.kind == Kind::Counter {
                Data::Sum(Sum { data_points, aggregation_temporality: cumulative, is_monotonic: true })
            } else {
                Data::Gauge(Gauge { data_points })
            }
        }
    };
    Exported {
        name: metric.name.to_owned(),
        description: metric.sentence(),
        unit: metric.unit.to_owned(),
        data: Some(data),
        ..Exported::default()
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// Nanoseconds since 1970, by a clock that may jump.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
