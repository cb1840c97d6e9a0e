//! Formatting of values from peers as `key=value` in log lines.

use super::identity::Identity;
use super::user_agents::USER_AGENT_BYTES_MAX;
use std::fmt::{self, Write};

/// A value from a peer in a log line: always one line and one field.
///
/// A short and harmless value is written as it is (`alice@example.org`), any other in quotes. In
/// quotes everything is escaped that could end the line or the field, and everything invisible:
/// control characters, direction marks, combining marks, exotic spaces. Cut to [`LogValue::MOST`]
/// characters, so that a peer cannot fill the log with its name; `…` shows the cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogValue<'a>(pub(crate) &'a str);

/// The reason of a close or a refusal, formatted like a [`LogValue`] but never cut: it has at most
/// 123 bytes (RFC 6455 §5.5).
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogReason<'a>(pub(crate) &'a str);

/// A text of our own with the details of an error, formatted like a [`LogValue`] but cut to
/// [`LogText::MOST`] characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogText<'a>(pub(crate) &'a str);

/// A user agent that was already cut, formatted like a [`LogValue`] but not cut again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogUserAgent<'a>(pub(crate) &'a str);

/// Writes `user=… package=…` of a connection. A connection without an identity has neither.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogIdentity<'a>(pub(crate) Option<&'a Identity>);

/// Writes a value, or `-` if there is none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrDash<T>(pub(crate) Option<T>);

impl LogValue<'_> {
    /// Characters of the value that are shown; each takes at most ten bytes (`\u{10ffff}`).
    const MOST: usize = 64;

    /// Writes at most `most` characters of `text`, escaped if needed.
    fn write(text: &str, most: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_bare(text, most) {
            return f.write_str(text);
        }
        let mut rest = text.chars();
        f.write_char('"')?;
        for c in rest.by_ref().take(most) {
            match c {
                '"' | '\\' | '\n' | '\t' => write!(f, "{}", c.escape_default())?,
                _ if is_seen(c) => f.write_char(c)?,
                _ => write!(f, "{}", c.escape_unicode())?,
            }
        }
        if rest.next().is_some() {
            f.write_char('…')?;
        }
        f.write_char('"')
    }
}

fn is_bare(text: &str, most: usize) -> bool {
    // A bare value is ASCII, so its bytes are characters.
    let is_harmless = |b: u8| b.is_ascii_alphanumeric() || b"._:@/+-".contains(&b);
    (1..=most).contains(&text.len()) && text.bytes().all(is_harmless)
}

impl fmt::Display for LogValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LogValue::write(self.0, Self::MOST, f)
    }
}

impl fmt::Display for LogReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 123;
        LogValue::write(self.0, MOST, f)
    }
}

impl LogText<'_> {
    /// Characters of the text that are shown.
    const MOST: usize = 256;
}

impl fmt::Display for LogText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LogValue::write(self.0, Self::MOST, f)
    }
}

impl fmt::Display for LogUserAgent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LogValue::write(self.0, USER_AGENT_BYTES_MAX, f)
    }
}

impl fmt::Display for LogIdentity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = OrDash(self.0.map(|identity| LogValue(&identity.user)));
        let package = OrDash(self.0.and_then(Identity::package).map(LogValue));
        write!(f, "user={user} package={package}")
    }
}

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_char('-'),
        }
    }
}

/// Returns whether `c` is visible as a character of its own. It uses the Unicode table of the
/// standard library's `Debug` output: a character that is not escaped there is visible. (The
/// apostrophe is escaped, but visible.)
fn is_seen(c: char) -> bool {
    c == '\'' || c.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Class;

    fn shown(value: &str) -> String {
        LogValue(value).to_string()
    }

    #[test]
    fn harmless_values_stand_bare() {
        for bare in [
            "alice",
            "alice@example.org",
            "com.example.app",
            "127.0.0.1:8002",
            "a/b+c-d",
        ] {
            assert_eq!(shown(bare), bare);
        }
    }

    #[test]
    fn whatever_could_end_a_field_is_quoted() {
        assert_eq!(shown(""), r#""""#);
        assert_eq!(shown("two words"), r#""two words""#);
        assert_eq!(shown("a=b"), r#""a=b""#);
        assert_eq!(shown("it's"), r#""it's""#);
        assert_eq!(shown(r#"" cause=stale x=""#), r#""\" cause=stale x=\"""#);
        assert_eq!(shown(r"back\slash"), r#""back\\slash""#);
        assert_eq!(shown(r"\"), r#""\\""#);
    }

    #[test]
    fn a_connection_has_a_user_and_perhaps_a_package() {
        let shown = |identity: Option<&Identity>| LogIdentity(identity).to_string();
        let of = |user: &str, package: Option<&str>| Identity {
            class: Class(0),
            user: user.into(),
            package: package.map(Box::from),
            address: None,
        };
        let (user, app) = (of("a b", None), of("ada", Some("p.x")));
        assert_eq!(shown(None), "user=- package=-");
        assert_eq!(shown(Some(&user)), r#"user="a b" package=-"#);
        assert_eq!(shown(Some(&app)), "user=ada package=p.x");
    }

    #[test]
    fn no_value_begins_a_new_line() {
        assert_eq!(
            shown("eve\n2026-01-01T00:00:00Z [INFO] close user=bob"),
            r#""eve\n2026-01-01T00:00:00Z [INFO] close user=bob""#
        );
        assert_eq!(shown("a\r\tb\0"), r#""a\u{d}\tb\u{0}""#);
        assert_eq!(
            shown("\u{85}\u{2028}\u{2029}"),
            r#""\u{85}\u{2028}\u{2029}""#
        );
        assert_eq!(shown("\u{1b}[31mred"), r#""\u{1b}[31mred""#);
    }

    #[test]
    fn what_is_not_seen_is_spelt_out() {
        // Right-to-left override and mark, isolates, zero-width space and joiner, byte order mark,
        // a tag, a combining accent.
        for hidden in [
            '\u{202e}',
            '\u{200f}',
            '\u{2066}',
            '\u{2069}',
            '\u{200b}',
            '\u{200d}',
            '\u{feff}',
            '\u{e0041}',
            '\u{301}',
            '\u{a0}',
        ] {
            assert_eq!(
                shown(&format!("a{hidden}b")),
                format!(r#""a\u{{{:x}}}b""#, u32::from(hidden))
            );
        }
        assert_eq!(
            shown("Zoë 張 👓"),
            r#""Zoë 張 👓""#,
            "letters of any script are left alone"
        );
    }

    #[test]
    fn long_values_are_cut_by_characters() {
        assert_eq!(shown(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(shown(&"x".repeat(65)), format!(r#""{}…""#, "x".repeat(64)));
        assert_eq!(
            shown(&"x".repeat(10_240)),
            format!(r#""{}…""#, "x".repeat(64))
        );
        assert_eq!(
            shown(&"é".repeat(64)),
            format!(r#""{}""#, "é".repeat(64)),
            "64 characters, 128 bytes: whole"
        );
        assert_eq!(shown(&"é".repeat(65)), format!(r#""{}…""#, "é".repeat(64)));
        let worst = shown(&"\u{10ffff}".repeat(10_240));
        assert_eq!(worst.len(), 64 * r"\u{10ffff}".len() + 2 + '…'.len_utf8());
    }
}
