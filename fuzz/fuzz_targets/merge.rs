//! Any order of publications, losses, trims, lost logs and joins: every client sees one contiguous log.
#![no_main]

#[path = "../../tests/merge/model.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if bytes.len() <= 400 {
        model::run(model::ops(bytes));
    }
});
