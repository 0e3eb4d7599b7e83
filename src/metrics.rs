//! What an instance counts and measures: one list, of which `/metrics`, the export by OTLP and `docs/metrics.md` are made.
//!
//! It owns the numbers of one instance and their list; whoever counts gets [`Metrics`] and adds to a field of it. An
//! attribute can only be a value of an enum in [`labels`], so nothing that a client sent can become one, and the number of
//! series is known when this is compiled. It knows the words of the protocol and nothing else of the program.

mod cells;
pub mod labels;
mod list;
mod markdown;
mod text;

pub use cells::{Counter, Gauge, Histogram, Info, Kind, Reading, micros};
pub use labels::{Attribute, Label, Labels};
pub use list::{LIST, Metric, Metrics};
pub use markdown::as_markdown;
pub use text::{CONTENT_TYPE, as_text};
