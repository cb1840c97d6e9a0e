//! The text of a heartbeat that is a message, and its frame.

use super::frame::{CONTROL_MAX, FIN, MASKED, TEXT};
use super::mask;
use std::fmt::{self, Write};

/// The longest header of such a frame: with a mask, in bytes.
const HEADER_MAX: usize = 6;

/// The text of a heartbeat: at most 125 bytes (the most payload of a ping, RFC 6455 §5.5), held in
/// place, so that no memory is allocated for it. Write it with [`write!`]:
///
/// ```
/// use std::fmt::Write;
///
/// let mut text = pulsegate::HeartbeatText::default();
/// write!(text, "{{\"ping\":{}}}", 7).expect("at most 125 bytes");
/// assert_eq!(text.as_str(), r#"{"ping":7}"#);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatText {
    bytes: [u8; CONTROL_MAX],
    len: u8,
}

impl HeartbeatText {
    /// Returns the text `{"ping":NUMBER}`.
    pub fn of_number(number: u64) -> Self {
        let mut text = HeartbeatText::default();
        // It has at most 29 bytes.
        let _ = write!(text, "{{\"ping\":{number}}}");
        text
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        // Only whole strings are written to it.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Default for HeartbeatText {
    /// Returns an empty text.
    fn default() -> Self {
        HeartbeatText {
            bytes: [0; CONTROL_MAX],
            len: 0,
        }
    }
}

/// Appends to the text. A string that does not fit is not written, and is an error.
impl Write for HeartbeatText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let from = usize::from(self.len);
        let until = from + text.len();
        let room = self.bytes.get_mut(from..until).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = until as u8;
        Ok(())
    }
}

impl fmt::Debug for HeartbeatText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeartbeatText({:?})", self.as_str())
    }
}

/// The frame of a heartbeat that is a text.
pub(crate) struct TextFrame {
    bytes: [u8; HEADER_MAX + CONTROL_MAX],
    len: usize,
}

impl TextFrame {
    /// Builds the frame: with a mask in the role of a client, without one in that of a server.
    pub(crate) fn new(text: &HeartbeatText, mask: Option<[u8; 4]>) -> Self {
        let mut bytes = [0; HEADER_MAX + CONTROL_MAX];
        let masked = if mask.is_some() { MASKED } else { 0 };
        bytes[..2].copy_from_slice(&[FIN | TEXT, masked | text.len]);
        let header = match mask {
            None => 2,
            Some(mask) => {
                bytes[2..HEADER_MAX].copy_from_slice(&mask);
                HEADER_MAX
            }
        };
        let len = header + usize::from(text.len);
        bytes[header..len].copy_from_slice(text.as_bytes());
        if let Some(mask) = mask {
            mask::apply(&mut bytes[header..len], mask, 0);
        }
        TextFrame { bytes, len }
    }
}

/// The bytes of the frame.
impl AsRef<[u8]> for TextFrame {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::write_frame;
    use super::*;

    #[test]
    fn a_text_takes_125_bytes_and_no_part_of_a_string_that_does_not_fit() {
        let mut text = HeartbeatText::default();
        assert!(text.write_str(&"x".repeat(124)).is_ok());
        assert!(text.write_str("é").is_err());
        assert_eq!(text.as_str(), "x".repeat(124));
        assert!(text.write_str("y").is_ok() && text.write_str("z").is_err());
        assert_eq!(text.as_str().len(), CONTROL_MAX);
        let longest = HeartbeatText::of_number(u64::MAX);
        assert_eq!(longest.as_str(), format!("{{\"ping\":{}}}", u64::MAX));
    }

    #[test]
    fn its_frame_is_a_whole_text_message_in_either_role() {
        for mask in [None, Some([1, 2, 3, 4])] {
            for length in [0, 1, 125] {
                let mut text = HeartbeatText::default();
                assert!(text.write_str(&"x".repeat(length)).is_ok());
                let mut frame = Vec::new();
                write_frame(&mut frame, FIN | TEXT, text.as_bytes(), mask);
                assert_eq!(TextFrame::new(&text, mask).as_ref(), frame);
            }
        }
    }
}
