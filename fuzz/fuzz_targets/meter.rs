//! Any bytes, cut anywhere: the meter counts the same, however they arrive.
#![no_main]

use confab::meter::{Budget, FrameMeter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (bytes, cuts) = input;
    let budget = Budget { frames_per_second: 10, frame_burst: 20, bytes_per_second: 1_000, byte_burst: 10_000 };
    let (mut whole, mut pieces) = (FrameMeter::new(&budget, 0), FrameMeter::new(&budget, 0));
    let at_once = whole.take(&bytes, 0).is_ok();
    let mut rest = &bytes[..];
    let mut in_pieces = true;
    for cut in cuts {
        let (piece, behind) = rest.split_at(usize::from(cut).min(rest.len()));
        in_pieces = in_pieces && pieces.take(piece, 0).is_ok();
        rest = behind;
    }
    in_pieces = in_pieces && pieces.take(rest, 0).is_ok();
    if at_once && in_pieces {
        assert_eq!(whole.unfinished_since(), pieces.unfinished_since());
    }
    assert_eq!(at_once, in_pieces);
});
