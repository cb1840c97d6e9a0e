//! A value in the settings file, in the form in which it would be written in a variable.

use super::file_line::FileLine;
use super::value_kind::{Unit, ValueKind};
use toml::de::{DeInteger, DeValue};

/// What a file has for one setting or field, and where.
#[derive(Debug, Clone)]
pub(super) struct FileEntry {
    pub(super) value: FileValue,
    /// `None`: the file does not have it.
    pub(super) line: Option<FileLine>,
}

impl FileEntry {
    pub(super) const ABSENT: FileEntry = FileEntry {
        value: FileValue::Absent,
        line: None,
    };

    /// An entry whose fault was reported already.
    pub(super) const UNKNOWN: FileEntry = FileEntry {
        value: FileValue::Unknown,
        line: None,
    };
}

/// Compares the values only, not their lines.
impl PartialEq for FileEntry {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for FileEntry {}

/// The value of one setting in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileValue {
    /// The file does not have this setting, or there is no file.
    Absent,
    /// The value, as it is written in a variable.
    Text(String),
    /// The value has a type that the setting does not take; the type in words.
    WrongType(&'static str),
    /// The value is unknown because of a fault that was reported already.
    Unknown,
}

/// Converts a value of the file for a setting of this kind.
pub(super) fn file_value(kind: ValueKind, value: DeValue<'_>) -> FileValue {
    let is_text = !matches!(kind, ValueKind::Number { .. } | ValueKind::Switch);
    let is_time = matches!(
        kind,
        ValueKind::Number {
            unit: Unit::Milliseconds,
            ..
        }
    );
    let is_switch = matches!(kind, ValueKind::Switch);
    let is_list = matches!(
        kind,
        ValueKind::Networks
            | ValueKind::Origins
            | ValueKind::FrameTypes
            | ValueKind::Subprotocols
            | ValueKind::HostNames
            | ValueKind::Upstreams
            | ValueKind::IpAddresses
    );
    match value {
        DeValue::String(text) if is_text => FileValue::Text(text.into_owned()),
        // A time with its unit is not a TOML number.
        DeValue::String(text) if is_time && text.ends_with(char::is_alphabetic) => {
            FileValue::Text(text.into_owned())
        }
        DeValue::Integer(number) if !is_text => FileValue::Text(decimal(&number)),
        DeValue::Boolean(on) if is_switch => FileValue::Text(on.to_string()),
        DeValue::Array(items) if is_list => {
            let texts: Option<Vec<_>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            match texts {
                Some(texts) => FileValue::Text(texts.join(",")),
                None => FileValue::WrongType("an array with items that are not strings"),
            }
        }
        other => FileValue::WrongType(type_name(&other)),
    }
}

/// Returns the type of a value, in words.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Returns the part of a key or value that a message repeats: at most one line. A string that is
/// not closed in its line continues into the lines of other settings.
pub(super) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 100;
    let line = text.split(char::is_control).next().unwrap_or_default();
    let shown: String = line.chars().take(SHOWN).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    shown + rest
}

/// Converts a number to decimal. A number that does not fit stays as it is written, and is refused
/// later.
fn decimal(number: &DeInteger<'_>) -> String {
    match i128::from_str_radix(number.as_str(), number.radix()) {
        Ok(value) => value.to_string(),
        Err(_) => number.to_string(),
    }
}
