//! Control frames as text.

use super::limits::ESCAPE;
use super::link_risk::LinkRisk;
use serde::Serialize;
use std::fmt::{self, Write};

/// The longest of the short frames: two numbers of 16 digits, their names, and one hint.
const SHORT_MAX: usize = 64;

/// Returns a control frame as it is sent. `frame` must be a type whose fields always serialize.
pub(super) fn control_text(frame: &impl Serialize) -> String {
    let mut text = String::from(char::from(ESCAPE));
    match serde_json::to_string(frame) {
        Ok(json) => text.push_str(&json),
        // Not reached: no frame has a map with keys that are not strings, or a failing field. An
        // empty object is a frame that every receiver ignores.
        Err(_) => text.push_str("{}"),
    }
    text
}

/// A control frame that is sent often: it has numbers only, and is written without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortControl {
    bytes: [u8; SHORT_MAX],
    len: u8,
}

impl ShortControl {
    fn write(args: fmt::Arguments<'_>) -> Self {
        let mut frame = ShortControl {
            bytes: [0; SHORT_MAX],
            len: 0,
        };
        // Every frame below fits: its numbers have at most 20 digits each.
        let written = frame.write_fmt(args);
        debug_assert!(written.is_ok(), "a short control frame is too long");
        frame
    }

    /// `{"ping":N,"rx":N}`: asks the client for a pong with the same number.
    pub fn ping(number: u64, rx: u64) -> Self {
        Self::write(format_args!("\u{1}{{\"ping\":{number},\"rx\":{rx}}}"))
    }

    /// `{"ping":N,"rx":N,"first_ms":T}`: a ping that also says over which time first tries are
    /// spread now.
    pub fn ping_with_hint(number: u64, rx: u64, first_ms: u64) -> Self {
        Self::write(format_args!(
            "\u{1}{{\"ping\":{number},\"rx\":{rx},\"first_ms\":{first_ms}}}"
        ))
    }

    /// `{"ping":N,"rx":N,"risk":"high"}`: a ping that also says how likely a loss is now.
    pub fn ping_with_risk(number: u64, rx: u64, risk: LinkRisk) -> Self {
        Self::write(format_args!(
            "\u{1}{{\"ping\":{number},\"rx\":{rx},\"risk\":\"{}\"}}",
            risk.word()
        ))
    }

    /// `{"pong":N,"rx":N}`: the client's answer to a ping.
    pub fn pong(number: u64, rx: u64) -> Self {
        Self::write(format_args!("\u{1}{{\"pong\":{number},\"rx\":{rx}}}"))
    }

    /// `{"probe":N}`: a client asks whether the gateway is there.
    pub fn probe(number: u64) -> Self {
        Self::write(format_args!("\u{1}{{\"probe\":{number}}}"))
    }

    /// `{"probe":N,"rx":N}`: the gateway's answer to a probe.
    pub fn probe_answer(number: u64, rx: u64) -> Self {
        Self::write(format_args!("\u{1}{{\"probe\":{number},\"rx\":{rx}}}"))
    }

    /// `{"rx":N}`: acknowledges all messages up to this number.
    pub fn ack(rx: u64) -> Self {
        Self::write(format_args!("\u{1}{{\"rx\":{rx}}}"))
    }

    /// `{"big":N}`: a message of this many bytes follows.
    pub fn big(bytes: usize) -> Self {
        Self::write(format_args!("\u{1}{{\"big\":{bytes}}}"))
    }

    /// Returns the frame as text, the escape byte included.
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.len)];
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Write for ShortControl {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = usize::from(self.len);
        let end = start + text.len();
        let room = self.bytes.get_mut(start..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end as u8;
        Ok(())
    }
}

impl fmt::Debug for ShortControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortControl({:?})", self.as_str())
    }
}
