//! WebSocket frames (RFC 6455, section 5), as bytes in a buffer.
//!
//! Owns the header and the masking. Knows no socket and nothing of what a payload says.

/// Opcode of a text frame.
pub const TEXT: u8 = 0x1;
/// Opcode of a close frame.
pub const CLOSE: u8 = 0x8;
/// Opcode of a ping.
pub const PING: u8 = 0x9;
/// Opcode of a pong.
pub const PONG: u8 = 0xA;

/// The longest frame that is accepted, in bytes; a longer one is taken for a broken stream.
pub const MAX_PAYLOAD: usize = 4 * 1024 * 1024;

/// What is wrong with a frame.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// A part of a fragmented message, or an extension bit: neither side of a measurement sends any.
    #[error("a fragmented frame or one with extension bits (first byte {0:#04x}): neither is supported here")]
    Unsupported(u8),
    /// Longer than [`MAX_PAYLOAD`].
    #[error("a frame of {0} bytes: longer than the {MAX_PAYLOAD} that are accepted here")]
    TooLong(u64),
}

/// The header of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which kind of frame.
    pub opcode: u8,
    /// The key the payload is masked with, in frames of a client.
    pub mask: Option<[u8; 4]>,
    /// Bytes before the payload.
    pub head: usize,
    /// Bytes of payload.
    pub payload: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` while it isn't complete.
    ///
    /// # Errors
    /// A frame that no server or client of a measurement sends.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0xF0 != 0x80 || first & 0x0F == 0 {
            return Err(FrameError::Unsupported(*first));
        }
        let (length, extended) = match second & 0x7F {
            126 => match rest.first_chunk::<2>() {
                Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2),
                None => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(bytes) => (u64::from_be_bytes(*bytes), 8),
                None => return Ok(None),
            },
            short => (u64::from(short), 0),
        };
        let payload = usize::try_from(length).ok().filter(|&n| n <= MAX_PAYLOAD).ok_or(FrameError::TooLong(length))?;
        let mask = if second & 0x80 == 0 {
            None
        } else {
            match rest[extended..].first_chunk::<4>() {
                Some(mask) => Some(*mask),
                None => return Ok(None),
            }
        };
        let head = 2 + extended + if mask.is_some() { 4 } else { 0 };
        Ok(Some(Self { opcode: first & 0x0F, mask, head, payload }))
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.head + self.payload
    }
}

/// Appends a frame with `payload` to `out`, masked where a key is given.
pub fn put(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) {
    out.push(0x80 | opcode);
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        short @ 0..=125 => out.push(masked | u8::try_from(short).unwrap_or(0)),
        middle @ 126..=0xFFFF => {
            out.push(masked | 126);
            out.extend_from_slice(&u16::try_from(middle).unwrap_or(0).to_be_bytes());
        }
        long => {
            out.push(masked | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    if let Some(mask) = mask {
        out.extend_from_slice(&mask);
    }
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        toggle(&mut out[start..], mask);
    }
}

/// Masks a payload, or takes the mask off again.
pub fn toggle(payload: &mut [u8], mask: [u8; 4]) {
    let mut words = payload.chunks_exact_mut(4);
    for word in &mut words {
        for (byte, key) in word.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask) {
        *byte ^= key;
    }
}

/// Keys to mask with: a new one per frame, cheap, and not the same in every run.
#[derive(Debug)]
pub struct Masks(u64);

impl Default for Masks {
    fn default() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        Self(RandomState::new().build_hasher().finish() | 1)
    }
}

impl Masks {
    /// The next key (xorshift64: no secret depends on it here).
    pub const fn next_key(&mut self) -> [u8; 4] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let [a, b, c, d, ..] = self.0.to_le_bytes();
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_every_length_form_is_read_as_it_was_put() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, MAX_PAYLOAD] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let payload: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
                let mut bytes = Vec::new();
                put(&mut bytes, TEXT, &payload, mask);
                let header = Header::read(&bytes).unwrap().unwrap();
                assert_eq!((header.opcode, header.mask, header.total()), (TEXT, mask, bytes.len()));
                let got = &mut bytes[header.head..];
                if let Some(mask) = header.mask {
                    toggle(got, mask);
                }
                assert_eq!(got, payload);
            }
        }
    }

    #[test]
    fn a_part_of_a_header_is_waited_for() {
        let mut bytes = Vec::new();
        put(&mut bytes, TEXT, &[b'x'; 70_000], Some([9; 4]));
        for cut in 0..14 {
            assert_eq!(Header::read(&bytes[..cut]), Ok(None), "{cut} bytes");
        }
        assert!(Header::read(&bytes[..14]).unwrap().is_some());
    }

    #[test]
    fn fragments_and_endless_frames_are_errors() {
        assert_eq!(Header::read(&[0x01, 0x00]), Err(FrameError::Unsupported(0x01)));
        assert_eq!(Header::read(&[0x80, 0x00]), Err(FrameError::Unsupported(0x80)));
        assert_eq!(Header::read(&[0xC1, 0x00]), Err(FrameError::Unsupported(0xC1)));
        let huge = [0x81, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(Header::read(&huge), Err(FrameError::TooLong(i64::MAX as u64)));
    }
}
