//! Log lines: one event is one line, JSON for Cloud Logging or text for a terminal, whatever its fields hold.
//!
//! It owns the two forms, and sees to it that nothing in a field can end a line, drive a terminal or fill the log. How
//! often a kind of line comes is for [`Kinds`] to say. It knows nothing of the program but the levels and fields that
//! events have; an event that belongs to a trace says so by [`TRACE`], [`SPAN`] and [`SAMPLED`].
//!
//! The names that Cloud Logging reads are those of its structured logging; the shape of a panic is that of Error
//! Reporting's `ReportedErrorEvent`.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime as Rfc3339};
use tracing_subscriber::layer::Context;

use super::SERVICE;
use super::kinds::Kinds;
use super::panics::PANIC;

/// The field of an event that names its trace, in 32 hex digits.
pub const TRACE: &str = "trace_id";

/// The field of an event that names the span it happened in, in 16 hex digits.
pub const SPAN: &str = "span_id";

/// The field of an event that says whether its trace is sampled.
pub const SAMPLED: &str = "trace_sampled";

/// The field of an event that holds a stack: printed as lines where a person reads them.
pub const STACK: &str = "stack_trace";

/// The field that says how many like lines were left out before this one.
pub const LEFT_OUT: &str = "left_out";

/// Longest text of a field, in characters; a stack may be [`STACK_CHARS`].
const FIELD_CHARS: usize = 2_048;

/// Longest stack, in characters.
const STACK_CHARS: usize = 16 * 1024;

/// What Error Reporting knows its own entries by.
const REPORTED: &str = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent";

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Json,
    /// Time, level, where, what, and fields, for people.
    Text,
}

/// Writes events, mostly to standard output.
pub struct Lines<W = fn() -> io::Stdout> {
    form: Form,
    writing: Writing,
    out: W,
}

/// What the lines of an instance have in common.
#[derive(Clone)]
pub struct Writing {
    kinds: Arc<Kinds>,
    instance: Arc<str>,
    /// The Google Cloud project that traces are kept in.
    project: Option<Arc<str>>,
}

impl Lines {
    /// Lines of an instance.
    pub fn new(form: Form, kinds: Arc<Kinds>, instance: &str, project: Option<&str>) -> Self {
        let writing = Writing { kinds, instance: instance.into(), project: project.map(Into::into) };
        Self { form, writing, out: io::stdout }
    }
}

impl<S: Subscriber, W: for<'a> MakeWriter<'a> + 'static> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(left_out) = self.writing.kinds.pass(event.metadata(), Instant::now()) else { return };
        let mut line = Line::of(event);
        if left_out > 0 {
            line.fields.insert(LEFT_OUT.to_owned(), json!(left_out));
        }
        let text = match self.form {
            Form::Json => line.json(&self.writing, SystemTime::now()),
            Form::Text => line.text(),
        };
        // Nobody is left to be told that standard output is gone.
        let _ = self.out.make_writer().write_all(text.as_bytes());
    }
}

/// An event on its way into a line.
struct Line {
    level: Level,
    target: &'static str,
    message: String,
    fields: Map<String, Value>,
}

impl Line {
    fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut line =
            Self { level: *metadata.level(), target: metadata.target(), message: String::new(), fields: Map::new() };
        event.record(&mut line);
        if line.message.is_empty() {
            // Libraries that name their events instead of telling them.
            metadata.name().clone_into(&mut line.message);
        }
        line
    }

    fn put(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        let most = if field.name() == STACK { STACK_CHARS } else { FIELD_CHARS };
        let text = cut(text, most);
        if field.name() == "message" { self.message = text } else { self.put(field, json!(text)) }
    }

    /// One JSON object, and the end of the line.
    fn json(mut self, writing: &Writing, now: SystemTime) -> String {
        let severity = match self.level {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut object = Map::new();
        object.insert("severity".to_owned(), json!(severity));
        object.insert("message".to_owned(), json!(self.message));
        object.insert("timestamp".to_owned(), json!({"seconds": since.as_secs(), "nanos": since.subsec_nanos()}));
        object.insert("target".to_owned(), json!(self.target));
        object.insert("logging.googleapis.com/labels".to_owned(), json!({"instance": &*writing.instance}));
        if let Some(trace) = self.fields.remove(TRACE) {
            let trace = match (&writing.project, trace.as_str()) {
                (Some(project), Some(id)) => json!(format!("projects/{project}/traces/{id}")),
                _ => trace,
            };
            object.insert("logging.googleapis.com/trace".to_owned(), trace);
        }
        for (field, name) in
            [(SPAN, "logging.googleapis.com/spanId"), (SAMPLED, "logging.googleapis.com/trace_sampled")]
        {
            if let Some(value) = self.fields.remove(field) {
                object.insert(name.to_owned(), value);
            }
        }
        if self.target == PANIC {
            let of = |fields: &Map<String, Value>, name: &str| fields.get(name).cloned().unwrap_or_default();
            let place = json!({"filePath": of(&self.fields, "file"), "lineNumber": of(&self.fields, "line")});
            object.insert("@type".to_owned(), json!(REPORTED));
            object
                .insert("serviceContext".to_owned(), json!({"service": SERVICE, "version": env!("CARGO_PKG_VERSION")}));
            object.insert("context".to_owned(), json!({"reportLocation": place}));
        }
        for (name, value) in self.fields {
            // What the platform reads can't be overwritten by a field that happens to have its name.
            object.entry(name).or_insert(value);
        }
        let mut text = String::with_capacity(256);
        escape(&Value::Object(object).to_string(), &mut text);
        text.push('\n');
        text
    }

    /// Time, level, where, what, and the fields.
    fn text(self) -> String {
        let mut text = String::with_capacity(128);
        // Writing into a string doesn't fail.
        let _ = Rfc3339.format_time(&mut Writer::new(&mut text));
        let _ = write!(text, " {:>5} {}: ", self.level, self.target);
        escape(&self.message, &mut text);
        let mut stack = None;
        for (name, value) in &self.fields {
            let _ = match value {
                Value::String(trace) if name == STACK => {
                    stack = Some(trace);
                    Ok(())
                }
                Value::String(word) if is_word(word) => write!(text, " {name}={word}"),
                value => {
                    let _ = write!(text, " {name}=");
                    escape(&value.to_string(), &mut text);
                    Ok(())
                }
            };
        }
        text.push('\n');
        for frame in stack.into_iter().flat_map(|stack| stack.lines()) {
            text.push_str("    ");
            escape(frame, &mut text);
            text.push('\n');
        }
        text
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing into a string fails only where the value's own Debug does.
        let _ = write!(text, "{value:?}");
        self.put_text(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }
}

/// At most so many characters, and how many there were.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
    }
}

/// Whether a text can stand in a line without quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"=\\".contains(&byte))
}

/// Writes what a terminal or a viewer would obey instead of show as `\uXXXX`, which is what JSON reads it from: controls,
/// line separators, and what turns the direction of writing.
fn escape(text: &str, out: &mut String) {
    for char in text.chars() {
        let obeyed = char.is_control()
            || matches!(char, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
            || matches!(char, '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{61c}');
        if obeyed {
            // All of these are in the basic plane.
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        } else {
            out.push(char);
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const HOSTILE: &str = "a\nb\r\u{1b}[2J\u{9b}31m\u{202e}x\u{2028}\"\\ ü 🍵";

    fn line(target: &'static str) -> Line {
        let mut fields = Map::new();
        fields.insert("name".to_owned(), json!(HOSTILE));
        fields.insert(TRACE.to_owned(), json!("4bf92f3577b34da6a3ce929d0e0e4736"));
        fields.insert("severity".to_owned(), json!("CRITICAL"));
        Line { level: Level::WARN, target, message: HOSTILE.to_owned(), fields }
    }

    fn writing(project: Option<&str>) -> Writing {
        Writing { kinds: Arc::default(), instance: "one".into(), project: project.map(Into::into) }
    }

    #[test]
    fn hostile_text_stays_in_its_field_and_moves_no_terminal() {
        let json = line("confab").json(&writing(None), UNIX_EPOCH);
        let text = line("confab").text();
        for written in [&json, &text] {
            let (one, end) = written.split_at(written.len() - 1);
            assert_eq!(end, "\n");
            assert!(!one.chars().any(|char| char.is_control() || "\u{202e}\u{2028}".contains(char)), "{one}");
        }
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&read["message"], &read["name"]), (&json!(HOSTILE), &json!(HOSTILE)));
        assert_eq!(read["severity"], "WARNING", "a field can't take the platform's place");
    }

    #[test]
    fn a_trace_is_named_as_the_platform_finds_it() {
        let read =
            |project| -> Value { serde_json::from_str(&line("confab").json(&writing(project), UNIX_EPOCH)).unwrap() };
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(read(None)["logging.googleapis.com/trace"], trace);
        assert_eq!(read(Some("acme"))["logging.googleapis.com/trace"], format!("projects/acme/traces/{trace}"));
    }

    /// What is written, as lines.
    #[derive(Clone, Default)]
    struct Written(Arc<std::sync::Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The line of a panic, which happens here and nowhere else.
    fn line_of_panic(form: Form, panics: fn()) -> String {
        let written = Written::default();
        let out = written.clone();
        let lines = Lines { form, writing: writing(None), out: move || out.clone() };
        let before = std::panic::take_hook();
        let here = std::thread::current().id();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == here {
                super::super::panics::report(info);
            }
        }));
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || std::panic::catch_unwind(panics).unwrap_err());
        std::panic::set_hook(before);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_panic_is_an_error_for_error_reporting_and_quotes_nobody() {
        let read: Value = serde_json::from_str(&line_of_panic(Form::Json, || panic!("as it stands"))).unwrap();
        let schema: Value =
            serde_json::from_str(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/log-line.schema.json")))
                .unwrap();
        let wrong: Vec<_> =
            jsonschema::validator_for(&schema).unwrap().iter_errors(&read).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{wrong:?}: {read}");
        assert_eq!((&read["@type"], &read["severity"]), (&json!(REPORTED), &json!("ERROR")));
        assert_eq!(read["message"], "a thread has panicked: as it stands");
        assert!(read["context"]["reportLocation"]["filePath"].as_str().unwrap().ends_with("lines.rs"), "{read}");
        assert!(read["stack_trace"].as_str().unwrap().contains("line_of_panic"), "{read}");
        let quoting = || {
            let said = "what a client said";
            let _ = &said[..said.len() + 1];
        };
        let json = line_of_panic(Form::Json, quoting);
        assert!(json.contains("isn't logged") && !json.contains("a client said"), "{json}");
        let text = line_of_panic(Form::Text, || panic!("as it stands"));
        assert!(text.lines().count() > 5 && text.lines().skip(1).all(|line| line.starts_with("    ")), "{text}");
    }

    #[test]
    fn a_long_field_is_cut_and_says_so() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äöü… (4 characters)");
    }
}
