//! Which text messages are control frames, and how texts of the application are told apart from
//! them.
//!
//! A text that begins with the byte 0x01 is a control frame, unless a second 0x01 follows. Then it
//! is a text of the application, from which the receiver removes the first byte.

use super::limits::ESCAPE;
use std::borrow::Cow;

/// A text message as a peer sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a text is one or the other")]
pub enum PulseText<'a> {
    /// A text of the application, as the application sent it.
    Application(&'a str),
    /// The JSON of a control frame.
    Control(&'a str),
}

impl<'a> PulseText<'a> {
    /// Tells a control frame and a text of the application apart.
    pub fn of(text: &'a str) -> Self {
        let escape = char::from(ESCAPE);
        match text.strip_prefix(escape) {
            Some(rest) if rest.starts_with(escape) => PulseText::Application(rest),
            Some(json) => PulseText::Control(json),
            None => PulseText::Application(text),
        }
    }
}

/// Returns a text of the application as it is sent. A text that begins with 0x01 gets one more.
pub fn escaped(text: &str) -> Cow<'_, str> {
    let escape = char::from(ESCAPE);
    match text.starts_with(escape) {
        true => Cow::Owned(format!("{escape}{text}")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_arrives_as_it_was_sent() {
        for text in ["", "a", "\u{1}", "\u{1}\u{1}", "\u{1}{\"rx\":1}", "a\u{1}"] {
            let sent = escaped(text);
            assert_eq!(PulseText::of(&sent), PulseText::Application(text));
        }
    }

    #[test]
    fn a_text_with_one_escape_is_a_control_frame() {
        assert_eq!(
            PulseText::of("\u{1}{\"rx\":1}"),
            PulseText::Control("{\"rx\":1}")
        );
        assert_eq!(PulseText::of("\u{1}"), PulseText::Control(""));
    }
}
