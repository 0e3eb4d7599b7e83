//! Any text from a client: a command or a refusal, never a panic. A refusal is short, plain and about fields; a number
//! in it is one that JavaScript can hold.
#![no_main]

use confab::domain::{Limits, MAX_OFFSET};
use confab::protocol::native::{decode, objects};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &str| {
    let limits = Limits::default();
    for object in objects(frame) {
        assert!(!object.contains('\n') && !object.trim().is_empty());
        let id = match decode(object, &limits) {
            Ok(command) => command.id,
            Err(refused) => {
                assert!(refused.message.is_ascii() && refused.message.len() < 120, "{}", refused.message);
                refused.id
            }
        };
        assert!(id.is_none_or(|id| id <= MAX_OFFSET));
    }
});
