//! Logs, traces and metrics: where they go, and the list of what is counted.
//!
//! It may use the settings and nothing else of the program; whoever counts gets [`Counts`]. The text of a message and
//! secrets never come here.

mod kinds;
mod lines;
mod panics;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor as _};
use tokio::time::{Instant, interval, timeout};
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{LogFormat, TelemetrySettings};
use crate::spans;
use kinds::{Kinds, LeftOut};
use lines::{Form, Lines};

/// The name of the service in traces and metrics.
const SERVICE: &str = "confab";

/// What the last export may take, at the end of the process.
pub const LAST_EXPORT: Duration = Duration::from_secs(1);

/// What an instance counts. Plain numbers, so that counting costs nothing; they are read when metrics are exported.
#[derive(Debug, Default)]
pub struct Counts {
    sockets: AtomicI64,
    handshakes: AtomicU64,
    turned_away: AtomicU64,
    commands: AtomicU64,
    deliveries: AtomicU64,
    ignored: AtomicU64,
}

impl Counts {
    /// A WebSocket begins.
    pub fn socket_opened(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        self.sockets.fetch_add(1, Ordering::Relaxed);
    }

    /// A WebSocket has ended.
    pub fn socket_closed(&self) {
        self.sockets.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection was refused for lack of room.
    pub fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// A command came in, good or bad.
    pub fn command(&self) {
        self.commands.fetch_add(1, Ordering::Relaxed);
    }

    /// Frames were handed to a socket.
    pub fn delivered(&self, frames: usize) {
        self.deliveries.fetch_add(frames as u64, Ordering::Relaxed);
    }

    /// A Socket.IO event had no effect, and its client didn't ask for an answer that says so.
    pub fn ignored(&self) {
        self.ignored.fetch_add(1, Ordering::Relaxed);
    }

    /// WebSockets that are open.
    #[must_use]
    pub fn sockets(&self) -> i64 {
        self.sockets.load(Ordering::Relaxed)
    }

    /// The metrics, by name, with the number that each reads.
    fn register(self: &Arc<Self>, meter: &opentelemetry::metrics::Meter) {
        let gauge = Arc::clone(self);
        meter
            .i64_observable_up_down_counter("confab.sockets")
            .with_description("WebSockets that are open")
            .with_callback(move |observer| observer.observe(gauge.sockets(), &[]))
            .build();
        let counter = |name, description, read: fn(&Self) -> &AtomicU64| {
            let counts = Arc::clone(self);
            meter
                .u64_observable_counter(name)
                .with_description(description)
                .with_callback(move |observer| observer.observe(read(&counts).load(Ordering::Relaxed), &[]))
                .build();
        };
        counter("confab.handshakes", "WebSockets that were opened", |counts| &counts.handshakes);
        counter("confab.turned_away", "Connections refused for lack of room", |counts| &counts.turned_away);
        counter("confab.commands", "Commands of clients, good or bad", |counts| &counts.commands);
        counter("confab.deliveries", "Frames handed to sockets", |counts| &counts.deliveries);
        counter("confab.ignored", "Events of Socket.IO clients without effect and without an answer", |counts| {
            &counts.ignored
        });
    }
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter to `telemetry.otlp_endpoint` could not be made.
    #[error("the exporter of traces and metrics could not be made")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// `telemetry.log` isn't a list of directives.
    #[error("telemetry.log is not a list of log directives")]
    Directives(#[from] tracing_subscriber::filter::ParseError),
    /// Logging is set up already.
    #[error("logging is set up already")]
    Twice(#[from] TryInitError),
}

/// The exporters of this process.
#[derive(Debug, Default)]
pub struct Telemetry {
    meter: Option<SdkMeterProvider>,
}

impl Telemetry {
    /// Sets up logging and, where there is an endpoint for them, traces and metrics. Once per process, inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// See [`TelemetryError`].
    pub fn start(settings: &TelemetrySettings, instance: &str, counts: &Arc<Counts>) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::try_new(&settings.log)?;
        let telemetry = match &settings.otlp_endpoint {
            Some(endpoint) => Self::exporting(endpoint, settings, instance, counts)?,
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
        panics::log_from_now_on();
        tokio::spawn(tell_of_left_out(kinds));
        Ok(telemetry)
    }

    fn exporting(
        endpoint: &str,
        settings: &TelemetrySettings,
        instance: &str,
        counts: &Arc<Counts>,
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
        let metrics = with_tls(MetricExporter::builder().with_tonic().with_endpoint(endpoint), endpoint).build()?;
        let interval = Duration::from_millis(settings.metrics_interval_ms);
        let meter = SdkMeterProvider::builder()
            .with_reader(PeriodicReader::builder(metrics).with_interval(interval).build())
            .with_resource(resource)
            .build();
        counts.register(&opentelemetry::metrics::MeterProvider::meter(&meter, SERVICE));
        Ok(Self { meter: Some(meter) })
    }

    /// Sends what is left, within [`LAST_EXPORT`].
    pub async fn stop(self) {
        let Self { meter: Some(meter) } = self else { return };
        // On a thread of its own: it blocks, and the exporters need the runtime's worker, of which there may be one.
        let sending = tokio::task::spawn_blocking(move || {
            // What could not be sent, the exporters log themselves.
            let _ = meter.shutdown_with_timeout(LAST_EXPORT);
            let _ = spans::stop(LAST_EXPORT);
        });
        // The time-outs above don't hold for a collector that is connected and silent.
        if timeout(LAST_EXPORT, sending).await.is_err() {
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
