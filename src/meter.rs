//! Budgets below the codec: frames and bytes of one connection, counted as they come off the wire.
//!
//! A codec swallows empty continuation frames, pongs and half messages without a word, so what a connection costs is
//! counted here, on the raw bytes. Pure: bytes and times go in, a verdict comes out. It knows just enough of RFC 6455
//! to find where frames and messages begin and end; whether they are valid is the codec's business.

use crate::bucket::Bucket;
use crate::domain::Millis;

/// The longest head of a frame without its mask: two bytes and a length of eight.
const LONGEST_HEAD: usize = 10;

/// What one connection may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Frames per second, sustained.
    pub frames_per_second: u64,
    /// Frames at once.
    pub frame_burst: u64,
    /// Bytes per second, sustained.
    pub bytes_per_second: u64,
    /// Bytes at once.
    pub byte_burst: u64,
}

/// The connection has sent more than its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("over the budget of frames or bytes, free in {retry_ms} ms")]
pub struct OverBudget {
    /// When what was too much would have been within the budget.
    pub retry_ms: Millis,
}

/// Counts the frames of one connection.
#[derive(Debug)]
pub struct FrameMeter {
    frames: Bucket,
    bytes: Bucket,
    head: [u8; LONGEST_HEAD],
    /// Bytes of `head` that are there; 0 between frames.
    have: u8,
    /// The head is complete, and so many bytes of mask and payload are to come.
    rest: Option<u64>,
    /// A message has begun whose final frame hasn't.
    fragmented: bool,
    unfinished_since: Option<Millis>,
}

impl FrameMeter {
    /// Nothing sent yet.
    #[must_use]
    pub fn new(budget: &Budget, now: Millis) -> Self {
        Self {
            frames: Bucket::new(budget.frames_per_second, 1_000, budget.frame_burst, now),
            bytes: Bucket::new(budget.bytes_per_second, 1_000, budget.byte_burst, now),
            head: [0; LONGEST_HEAD],
            have: 0,
            rest: None,
            fragmented: false,
            unfinished_since: None,
        }
    }

    /// Takes bytes in the order they were sent, however they are cut.
    ///
    /// # Errors
    /// Over budget. Nothing that follows is of interest then: the connection is closed.
    pub fn take(&mut self, mut bytes: &[u8], now: Millis) -> Result<(), OverBudget> {
        let over = |retry_ms| OverBudget { retry_ms };
        self.bytes.take_many(bytes.len() as u64, now).map_err(over)?;
        let mut frames = 0;
        while let Some((&first, behind)) = bytes.split_first() {
            match self.rest {
                Some(rest) => {
                    let skipped = bytes.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
                    bytes = &bytes[skipped..];
                    self.rest = Some(rest - skipped as u64);
                }
                None => {
                    if self.have == 0 {
                        frames += 1;
                        self.unfinished_since.get_or_insert(now);
                    }
                    self.head[usize::from(self.have)] = first;
                    self.have += 1;
                    bytes = behind;
                    self.rest = self.body_bytes();
                }
            }
            if self.rest == Some(0) {
                self.end_of_frame();
            }
        }
        self.frames.take_many(frames, now).map_err(over)
    }

    /// Since when a message is unfinished: its first byte has come, its last one hasn't.
    #[must_use]
    pub const fn unfinished_since(&self) -> Option<Millis> {
        self.unfinished_since
    }

    /// Bytes of mask and payload, once the head is complete.
    fn body_bytes(&self) -> Option<u64> {
        let have = usize::from(self.have);
        if have < 2 {
            return None;
        }
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        let (extended, short) = match self.head[1] & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            length => (0, u64::from(length)),
        };
        let length = self.head.get(2..2 + extended).filter(|_| have == 2 + extended)?;
        let long = length.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        Some((long + short).saturating_add(mask))
    }

    fn end_of_frame(&mut self) {
        let (is_final, is_control) = (self.head[0] & 0x80 != 0, self.head[0] & 0x08 != 0);
        if !is_control {
            self.fragmented = !is_final;
        }
        if !self.fragmented {
            self.unfinished_since = None;
        }
        self.have = 0;
        self.rest = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUDGET: Budget =
        Budget { frames_per_second: 10, frame_burst: 20, bytes_per_second: 1_000, byte_burst: 200_000 };

    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match payload {
            0..126 => frame.push(0x80 | payload as u8),
            126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(vec![0x55; 4 + payload]);
        frame
    }

    #[test]
    fn a_message_is_unfinished_from_its_first_byte_to_its_last() {
        let mut meter = FrameMeter::new(&BUDGET, 0);
        let frame = frame(0x81, 300);
        for (at, byte) in frame.iter().enumerate() {
            meter.take(&[*byte], at as u64).unwrap();
            let expected = (at + 1 < frame.len()).then_some(0);
            assert_eq!(meter.unfinished_since(), expected, "after byte {at}");
        }
    }

    #[test]
    fn fragments_are_one_message_and_a_control_frame_between_them_does_not_finish_it() {
        let mut meter = FrameMeter::new(&BUDGET, 0);
        meter.take(&frame(0x01, 5), 7).unwrap();
        meter.take(&frame(0x89, 5), 8).unwrap();
        meter.take(&frame(0x00, 0), 9).unwrap();
        assert_eq!(meter.unfinished_since(), Some(7));
        meter.take(&frame(0x80, 0), 10).unwrap();
        assert_eq!(meter.unfinished_since(), None);
    }

    #[test]
    fn empty_continuations_are_over_the_budget_of_frames() {
        let mut meter = FrameMeter::new(&BUDGET, 0);
        let burst = frame(0x00, 0).repeat(20);
        meter.take(&burst, 0).unwrap();
        assert_eq!(meter.take(&frame(0x00, 0), 0), Err(OverBudget { retry_ms: 100 }));
    }

    #[test]
    fn a_long_stream_is_over_the_budget_of_bytes() {
        let mut meter = FrameMeter::new(&BUDGET, 0);
        assert_eq!(meter.take(&frame(0x82, 200_000), 0), Err(OverBudget { retry_ms: 14 }));
    }

    #[test]
    fn the_longest_length_is_no_trouble() {
        let mut meter = FrameMeter::new(&BUDGET, 0);
        let mut endless = vec![0x81, 0xff];
        endless.extend(u64::MAX.to_be_bytes());
        endless.extend([0; 1_000]);
        meter.take(&endless, 3).unwrap();
        assert_eq!(meter.unfinished_since(), Some(3));
    }

    proptest! {
        #[test]
        fn cutting_the_stream_elsewhere_changes_nothing(
            frames in prop::collection::vec((any::<u8>(), prop_oneof![0usize..300, Just(65_535), Just(65_536)]), 1..6),
            cuts in prop::collection::vec(1usize..5_000, 1..20),
        ) {
            let budget = Budget { frames_per_second: 1, frame_burst: 10, bytes_per_second: 1, byte_burst: 1_000_000 };
            let stream: Vec<u8> = frames.iter().flat_map(|&(first, payload)| frame(first, payload)).collect();
            let mut whole = FrameMeter::new(&budget, 0);
            let mut pieces = FrameMeter::new(&budget, 0);
            whole.take(&stream, 0).unwrap();
            let mut left = &stream[..];
            for cut in cuts.iter().cycle() {
                let (piece, behind) = left.split_at((*cut).min(left.len()));
                pieces.take(piece, 0).unwrap();
                left = behind;
                if left.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(whole.unfinished_since(), pieces.unfinished_since());
            prop_assert_eq!((whole.have, whole.rest, whole.fragmented), (pieces.have, pieces.rest, pieces.fragmented));
            // Both have taken exactly one token per frame.
            for meter in [&mut whole, &mut pieces] {
                let left = (0..).take_while(|_| meter.frames.take(0).is_ok()).count();
                prop_assert_eq!(left, 10 - frames.len());
            }
        }
    }
}
