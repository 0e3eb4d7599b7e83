//! Logs, traces and metrics: where they go.
//!
//! It may use the settings, and of the metrics their numbers; what they mean is none of its business. The text of a message and
//! secrets never come here.

mod filter;
mod kinds;
mod lines;
mod meter;
mod panics;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor as _};
use tokio::time::{Instant, interval, timeout};
use tracing::Metadata;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{LogFormat, TelemetrySettings};
use crate::metrics::Metrics;
use crate::spans;
pub use filter::{BadDirectives, LogFilter};
use kinds::{Kinds, LeftOut};
use lines::{Form, Lines};
use meter::Meter;

/// The name of the service in traces and metrics.
const SERVICE: &str = "confab";

/// What the last export may take, at the end of the process.
pub const LAST_EXPORT: Duration = Duration::from_secs(1);

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter to `telemetry.otlp_endpoint` could not be made.
    #[error("the exporter of traces and metrics could not be made")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The same, for metrics.
    #[error("the exporter of metrics could not be made")]
    Meter(#[from] tonic::transport::Error),
    /// `telemetry.log` isn't a list of directives.
    #[error("telemetry.log {0}")]
    Directives(#[from] BadDirectives),
    /// Logging is set up already.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
}

/// The exporters of this process.
#[derive(Debug, Default)]
pub struct Telemetry {
    meter: Option<Meter>,
    log: Option<LogFilter>,
}

impl Telemetry {
    /// Sets up logging and, where there is an endpoint for them, traces and metrics. Once per process, inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// See [`TelemetryError`].
    pub fn start(settings: &TelemetrySettings, instance: &str, metrics: &Arc<Metrics>) -> Result<Self, TelemetryError> {
        let (filter, log) = LogFilter::new(&settings.log)?;
        let mut telemetry = match &settings.otlp_endpoint {
            Some(endpoint) => Self::exporting(endpoint, settings, instance, metrics)?,
            None => Self::default(),
        };
        let json = match settings.log_format {
            LogFormat::Json => true,
            LogFormat::Text => false,
            LogFormat::Auto => !io::stdout().is_terminal(),
        };
        let kinds = Arc::<Kinds>::default();
        let form = if json { Form::Json } else { Form::Text };
        let lines = Lines::new(form, Arc::clone(&kinds), instance, settings.trace_project.as_deref());
        tracing_subscriber::registry().with(lines).with(filter).with(filter_fn(is_discreet)).try_init()?;
        telemetry.log = Some(log);
        panics::log_from_now_on();
        tokio::spawn(tell_of_left_out(kinds));
        Ok(telemetry)
    }

    fn exporting(
        endpoint: &str,
        settings: &TelemetrySettings,
        instance: &str,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, TelemetryError> {
        let resource = Resource::builder()
            .with_service_name(SERVICE)
            .with_attribute(opentelemetry::KeyValue::new("service.instance.id", instance.to_owned()))
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let exporter = with_tls(SpanExporter::builder().with_tonic().with_endpoint(endpoint), endpoint).build()?;
        let queue = BatchConfigBuilder::default().with_max_queue_size(spans::QUEUE).build();
        let mut processor = BatchSpanProcessor::builder(spans::Counted(exporter)).with_batch_config(queue).build();
        processor.set_resource(&resource);
        spans::record(Box::new(processor), SERVICE, settings.trace_ratio);
        let meter = Meter::start(endpoint, settings.metrics_interval_ms, instance, metrics)?;
        Ok(Self { meter: Some(meter), log: None })
    }

    /// What is logged, to be read and changed while the process runs.
    #[must_use]
    pub fn log(&self) -> Option<LogFilter> {
        self.log.clone()
    }

    /// Sends what is left, within [`LAST_EXPORT`].
    pub async fn stop(self) {
        let Self { meter: Some(meter), .. } = self else { return };
        let metrics = meter.stop();
        // On a thread of its own: it blocks, and the exporters need the runtime's worker, of which there may be one.
        let sending = tokio::task::spawn_blocking(move || {
            // What could not be sent, the exporter logs itself.
            let _ = spans::stop(LAST_EXPORT);
        });
        // The time-outs above don't hold for a collector that is connected and silent.
        if timeout(LAST_EXPORT, async { tokio::join!(sending, metrics) }).await.is_err() {
            tracing::warn!("the collector is too slow for the last traces and metrics");
        }
    }
}

/// Tells how many lines were left out where no later line of their kind does.
async fn tell_of_left_out(kinds: Arc<Kinds>) {
    let mut window = interval(kinds::WINDOW);
    loop {
        window.tick().await;
        for LeftOut { target, file, row, lines } in kinds.take_left_out(Instant::now()) {
            tracing::warn!(of = target, file, row, left_out = lines, "like lines were left out");
        }
    }
}

/// At its lowest level the codec logs whole frames, and in them texts and tokens: never, whatever `telemetry.log` says.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("tungstenite")
}

/// An https endpoint has to show a certificate that this system trusts, or one of the authorities in `SSL_CERT_FILE`.
fn with_tls<E: WithTonicConfig>(exporter: E, endpoint: &str) -> E {
    if endpoint.starts_with("https:") {
        exporter.with_tls_config(ClientTlsConfig::new().with_native_roots())
    } else {
        exporter
    }
}
