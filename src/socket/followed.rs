//! A command that may be followed: its span where it is sampled, and the line in the log where it fails for a fault of the
//! service, which names the trace whether sampled or not.

use crate::domain::Trace;
use crate::protocol::Code;
use crate::spans::{Name, Span};

/// A command under way.
#[derive(Debug)]
pub struct Followed {
    command: &'static str,
    /// On the heap, because one in many commands has one and all that wait have room for it.
    span: Option<Box<Span>>,
    /// Where it stands as far as anybody has said: the client of the command, or of the connection's handshake.
    known: Option<Trace>,
}

impl Followed {
    /// It was read. `asked` is what the client says of it, `handshake` of the connection.
    pub fn begin(command: &'static str, asked: Option<Trace>, handshake: Option<Trace>) -> Self {
        let mut span = Span::entry(Name::Command, asked).map(Box::new);
        if let Some(span) = &mut span {
            span.word("confab.command", command);
        }
        let known = span.as_ref().map(|span| span.trace()).or(asked).or(handshake);
        Self { command, span, known }
    }

    /// Where what follows from it stands, if it is sampled.
    pub fn trace(&self) -> Option<Trace> {
        self.span.as_ref().map(|span| span.trace())
    }

    /// It was carried out, or refused.
    pub fn end(mut self, refused: Option<Code>) {
        let Some(code) = refused else { return };
        let fault = matches!(code, Code::Unconfirmed | Code::Unavailable | Code::Internal | Code::Overloaded);
        if let Some(span) = &mut self.span {
            if fault { span.fail(code.as_str()) } else { span.word("confab.refused", code.as_str()) }
        }
        if fault {
            tracing::warn!(
                command = self.command,
                code = code.as_str(),
                trace_id = self.known.map(trace_id),
                span_id = self.known.map(span_id),
                trace_sampled = self.known.map(Trace::is_sampled),
                "a command failed"
            );
        }
    }
}

/// As log lines name a trace.
pub fn trace_id(trace: Trace) -> String {
    format!("{:032x}", trace.id())
}

/// As log lines name a span.
pub fn span_id(trace: Trace) -> String {
    format!("{:016x}", trace.span())
}
