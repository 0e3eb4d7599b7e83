//! Any payload from an Engine.IO client: packets that mean something, or a reason why not, never a panic.
#![no_main]

use confab::domain::Limits;
use confab::protocol::engineio::{Packet, Part, decode, parts};
use confab::protocol::socketio::packet::ATTACHMENTS;
use confab::protocol::socketio::{Said, call};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &str| {
    let limits = Limits::default();
    for part in parts(payload).flatten() {
        let Part::Text(text) = part else { continue };
        let Ok(Packet::Message(packet)) = decode(text) else { continue };
        let Ok((said, attachments)) = call::decode(packet, &limits) else { continue };
        assert!(attachments <= ATTACHMENTS);
        if let Said::Call { call: Err(error), .. } = said {
            assert!(error.is_ascii() && error.len() < 120, "{error}");
        }
    }
});
