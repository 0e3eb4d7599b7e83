//! Any text from a client: a command or a refusal, never a panic, and the refusal repeats nothing of it.
#![no_main]

use confab::domain::Limits;
use confab::protocol::native::{decode, objects};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &str| {
    let limits = Limits::default();
    for object in objects(frame) {
        let _ = decode(object, &limits);
    }
});
