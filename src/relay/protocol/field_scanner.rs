//! Extracts the fields that routing reads from a large JSON text, in steps.
//!
//! A parser that reads a megabyte at once delays every other connection. This one can stop and
//! continue at any byte. It checks the grammar of the whole text (RFC 8259 §2 to §7). It copies the
//! few fields of the outermost object that routing needs into a short text, which is then parsed as
//! usual.

use super::fields::Malformed;
use super::json::{Expected, Literal, Nesting, NumberPart, expect_space, plain_run};
use std::borrow::Cow;

/// The most bytes of all copied fields: 256 subscriptions of 256 bytes, each an object.
pub(crate) const FIELDS_MAX_BYTES: usize = 80 * 1024;

/// The most tokens in the copied fields: 256 objects with a name and another member. Parsing a
/// token costs as much as 40 characters.
pub(crate) const FIELDS_MAX_TOKENS: usize = 3_584;

/// An escape in a string counts as this many tokens.
const ESCAPE_TOKENS: usize = 4;

/// Tokens that are read per work unit.
const TOKENS_PER_UNIT: usize = 64;

/// The fields that are read of frames from glasses.
pub(crate) const GLASSES_FIELDS: &[&str] = &["type", "packageName"];

/// The fields that are read of frames from apps.
pub(crate) const APP_FIELDS: &[&str] = &[
    "type",
    "packageName",
    "subscriptions",
    "sessionId",
    "apiKey",
    "sdkVersion",
];

/// The name, in quotes, of the only field that is read and whose value is a list.
const SUBSCRIPTIONS: &str = "\"subscriptions\"";

/// A text that is being read.
#[derive(Debug)]
pub(crate) struct FieldScanner {
    /// Bytes read so far.
    at: usize,
    expected: Expected,
    /// Whether the string that is being read is a name.
    is_name: bool,
    /// Bytes read of a literal such as `true`, or digits read of an escape.
    part: usize,
    nesting: Nesting,
    /// Start of the name of the current field of the outermost object, including its quote.
    name: usize,
    /// End of the name of the current field.
    name_end: usize,
    /// Whether the current field is `type`.
    is_kind: bool,
    /// Start of the current field in the text, if it will be copied.
    field: Option<usize>,
    /// The number of tokens in the copied fields.
    weight: usize,
    /// The names of the fields to copy.
    fields: &'static [&'static str],
    /// The field `type`. It goes first in the output, because the meaning of the others depends on
    /// it.
    kind: String,
    /// The other copied fields.
    copied: String,
    /// Tokens and parts of tokens read since the last call of
    /// [`take_units`](FieldScanner::take_units).
    tokens: usize,
}

/// The result of reading a part of the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ScanProgress {
    /// There is more to read.
    Partial,
    /// The text is an object, and these are its fields.
    Whole(String),
    /// The fields have more than [`FIELDS_MAX_BYTES`] bytes; this is their beginning.
    TooLong(String),
}

impl FieldScanner {
    /// Makes an scanner of a text of which nothing was read yet. The given fields will be copied.
    pub(crate) fn new(fields: &'static [&'static str]) -> Self {
        FieldScanner {
            at: 0,
            expected: Expected::Value,
            is_name: false,
            part: 0,
            nesting: Nesting::default(),
            name: 0,
            name_end: 0,
            is_kind: false,
            field: None,
            weight: 0,
            fields,
            kind: String::new(),
            copied: String::new(),
            tokens: 0,
        }
    }

    /// Returns the work units for what was read since the last call.
    pub(crate) fn take_units(&mut self) -> u32 {
        let units = 1 + std::mem::take(&mut self.tokens) / TOKENS_PER_UNIT;
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    /// Returns the allocated bytes.
    pub(crate) fn allocated(&self) -> usize {
        self.kind.capacity()
            + self.copied.capacity()
            + self.nesting.bits.capacity() * size_of::<u64>()
    }

    /// Reads up to `most` more bytes of `text`, which must be the same text in each call.
    ///
    /// # Errors
    /// Why the text is malformed.
    pub(crate) fn read(&mut self, text: &str, most: usize) -> Result<ScanProgress, Malformed> {
        let end = text.len().min(self.at.saturating_add(most));
        while self.at < end && self.expected != Expected::Invalid && !self.is_too_long(self.at) {
            self.run(text, end);
        }
        if self.expected == Expected::Invalid {
            // Without an open object, not even the first brace was read.
            let is_object = !self.nesting.bits.is_empty();
            return Err(Malformed(match is_object {
                true => format!("not JSON (byte {})", self.at + 1),
                false => "not a JSON object".to_owned(),
            }));
        }
        if self.is_too_long(self.at) {
            self.copy(text);
            return Ok(ScanProgress::TooLong(self.joined()));
        }
        if end < text.len() {
            return Ok(ScanProgress::Partial);
        }
        if self.expected != Expected::End {
            return Err(Malformed("not JSON (it ends too soon)".to_owned()));
        }
        let mut fields = self.joined();
        fields.push('}');
        Ok(ScanProgress::Whole(fields))
    }

    /// Returns the copied fields after an opening brace.
    fn joined(&mut self) -> String {
        let fields = [&*self.kind, &*self.copied].concat();
        (self.kind, self.copied) = (String::new(), String::new());
        // Each field begins with a comma.
        ["{", fields.get(1..).unwrap_or_default()].concat()
    }

    /// Reads up to `end`, to the start of a field that will be copied, or to a byte that is not
    /// JSON.
    fn run(&mut self, text: &str, end: usize) {
        let bytes = &text.as_bytes()[..end];
        let mut at = self.at;
        let mut expected = self.expected;
        while let Some(&byte) = bytes.get(at) {
            self.tokens += 1;
            if self.field.is_some() {
                self.weight += 1;
                if self.is_too_long(at) {
                    break;
                }
            }
            // What is expected next; `None`: a value has ended.
            let next = match expected {
                Expected::Value | Expected::FirstValue => {
                    if self.nesting.depth == 1 && matches!(byte, b'[' | b'{') {
                        self.skip_nested(text);
                    }
                    self.value(byte, expected)
                }
                Expected::Number(part) => {
                    let (read, part) = part.run(&bytes[at..]);
                    at += read;
                    match part.may_end() {
                        _ if at == end => {
                            expected = Expected::Number(part);
                            break;
                        }
                        // The byte after the number is read again.
                        true => {
                            at -= 1;
                            None
                        }
                        false => Some(Expected::Invalid),
                    }
                }
                Expected::Comma => match byte {
                    b',' if self.nesting.is_in_object() => Some(Expected::Name),
                    b',' => Some(Expected::Value),
                    b'}' | b']' => self.close(byte),
                    _ => Some(expect_space(byte, expected)),
                },
                Expected::Characters => {
                    at += plain_run(&bytes[at..]);
                    match bytes.get(at) {
                        None => break,
                        Some(b'"') if self.is_name => {
                            let name = &text[self.name..=at];
                            match self.nesting.depth {
                                1 => match NameKind::of(name, self.fields) {
                                    name @ (NameKind::Type | NameKind::Read) => {
                                        self.is_kind = name == NameKind::Type;
                                        self.field = Some(self.name);
                                        self.name_end = at + 1;
                                        Some(Expected::Colon)
                                    }
                                    NameKind::Other => Some(Expected::Colon),
                                    NameKind::Wrong => Some(Expected::Invalid),
                                },
                                _ => Some(Expected::Colon),
                            }
                        }
                        Some(b'"') => None,
                        Some(b'\\') => {
                            let is_name = self.is_name && self.nesting.depth == 1;
                            if is_name || self.field.is_some() {
                                self.weight += ESCAPE_TOKENS;
                            }
                            Some(Expected::Escape)
                        }
                        Some(_) => Some(Expected::Invalid),
                    }
                }
                Expected::Escape => Some(match byte {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Expected::Characters,
                    b'u' => {
                        self.part = 0;
                        Expected::Digits
                    }
                    _ => Expected::Invalid,
                }),
                Expected::Digits => Some(match self.part {
                    _ if !byte.is_ascii_hexdigit() => Expected::Invalid,
                    3 => Expected::Characters,
                    _ => {
                        self.part += 1;
                        Expected::Digits
                    }
                }),
                Expected::Colon => Some(match byte {
                    b':' => Expected::Value,
                    _ => expect_space(byte, expected),
                }),
                Expected::Name | Expected::FirstName => match byte {
                    b'"' => {
                        (self.name, self.is_name) = (at, true);
                        Some(Expected::Characters)
                    }
                    b'}' if expected == Expected::FirstName => self.close(byte),
                    _ => Some(expect_space(byte, expected)),
                },
                Expected::Literal(literal) => match literal.text()[self.part..] {
                    [last] if last == byte => None,
                    [next, ..] if next == byte => {
                        self.part += 1;
                        Some(expected)
                    }
                    _ => Some(Expected::Invalid),
                },
                Expected::End => Some(expect_space(byte, expected)),
                Expected::Invalid => break,
            };
            if next == Some(Expected::Invalid) {
                expected = Expected::Invalid;
                break;
            }
            at += 1;
            expected = match (next, self.nesting.depth) {
                (Some(next), _) => next,
                (None, 0) => Expected::End,
                (None, depth) => {
                    if depth == 1 && self.field.is_some() {
                        self.at = at;
                        self.copy(text);
                    }
                    Expected::Comma
                }
            };
        }
        (self.at, self.expected) = (at, expected);
    }

    /// Reads the first byte of a value, or the end of an array.
    fn value(&mut self, byte: u8, expected: Expected) -> Option<Expected> {
        Some(match byte {
            b'{' => {
                self.nesting.push(true);
                Expected::FirstName
            }
            // The outermost value must be an object.
            _ if self.nesting.depth == 0 => return Some(expect_space(byte, expected)),
            b'[' => {
                self.nesting.push(false);
                Expected::FirstValue
            }
            b'"' => {
                self.is_name = false;
                Expected::Characters
            }
            b'0' => Expected::Number(NumberPart::Zero),
            b'1'..=b'9' => Expected::Number(NumberPart::Integer),
            b'-' => Expected::Number(NumberPart::Minus),
            b't' => self.literal(Literal::True),
            b'f' => self.literal(Literal::False),
            b'n' => self.literal(Literal::Null),
            b']' if expected == Expected::FirstValue => return self.close(byte),
            _ => expect_space(byte, expected),
        })
    }

    fn literal(&mut self, literal: Literal) -> Expected {
        self.part = 1;
        Expected::Literal(literal)
    }

    /// Reads the end of an array or object.
    fn close(&mut self, byte: u8) -> Option<Expected> {
        if self.nesting.is_in_object() != (byte == b'}') {
            return Some(Expected::Invalid);
        }
        self.nesting.depth -= 1;
        None
    }

    /// Returns whether the fields are too long once the text is read up to `at`.
    fn is_too_long(&self, at: usize) -> bool {
        let field = self.field.map_or(0, |from| at - from);
        let bytes = self.kind.len() + self.copied.len() + field;
        bytes > FIELDS_MAX_BYTES || self.weight > FIELDS_MAX_TOKENS
    }

    /// Skips an array or object that begins here, unless it is in `subscriptions`. For any other
    /// field an empty array is copied instead: it is just as invalid there, and costs nothing.
    fn skip_nested(&mut self, text: &str) {
        if let Some(from) = self.field
            && &text[from..self.name_end] != SUBSCRIPTIONS
        {
            self.field = None;
            let name = &text[from..self.name_end];
            self.push_field(&[name, ":[]"].concat());
        }
    }

    /// Copies the current field as far as it was read.
    fn copy(&mut self, text: &str) {
        if let Some(from) = self.field.take() {
            // A cut within a character drops the field; a field that was cut is not valid JSON
            // anyway.
            let field = text.get(from..self.at).unwrap_or_default();
            self.push_field(field);
        }
    }

    fn push_field(&mut self, field: &str) {
        let place = match self.is_kind {
            true => &mut self.kind,
            false => &mut self.copied,
        };
        if !field.is_empty() {
            place.reserve_exact(field.len() + 1);
            place.push(',');
            place.push_str(field);
        }
    }
}

/// What the scanner does with a field of the outermost object, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameKind {
    /// The name is `type`.
    Type,
    /// The name is that of another field to copy.
    Read,
    Other,
    /// The name has half a surrogate pair, which parsers refuse in a name that they read.
    Wrong,
}

impl NameKind {
    /// Classifies a name, given in quotes.
    fn of(quoted: &str, fields: &[&str]) -> Self {
        let plain = &quoted[1..quoted.len() - 1];
        let name = match plain.contains('\\') {
            false => Cow::Borrowed(plain),
            true => match serde_json::from_str::<String>(quoted) {
                Ok(name) => Cow::Owned(name),
                Err(_) => return NameKind::Wrong,
            },
        };
        match fields.contains(&&*name) {
            true if name == "type" => NameKind::Type,
            true => NameKind::Read,
            false => NameKind::Other,
        }
    }
}

#[cfg(test)]
mod tests;
