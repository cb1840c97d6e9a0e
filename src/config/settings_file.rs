//! The settings file: TOML, with the settings as top-level keys.

use std::path::Path;

use toml::de::{DeInteger, DeTable, DeValue};

use super::regular_file;
use super::setting_faults::{Requirement, SettingFault, SettingFaults};
use super::table::{SETTINGS, row};
use super::value_kind::{Unit, ValueKind};

/// The largest file, in bytes; a typical one has some thousand.
const BYTES_MAX: usize = 1 << 20;

/// The values in a file, by the setting's row in the table.
pub(super) struct SettingsFile(Vec<FileValue>);

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

impl SettingsFile {
    /// Returns the result without a file.
    pub(super) fn none() -> Self {
        SettingsFile(vec![FileValue::Absent; SETTINGS.len()])
    }

    /// Returns the result for a file that cannot be parsed.
    pub(super) fn unknown() -> Self {
        SettingsFile(vec![FileValue::Unknown; SETTINGS.len()])
    }

    /// Reads the file at `path`. Unknown keys are reported here; values are parsed later.
    ///
    /// # Errors
    /// What the file must be. The message repeats no line of it, which might be a secret.
    pub(super) fn read(path: &Path, faults: &mut SettingFaults) -> Result<Self, Requirement> {
        let content = regular_file::read(path, BYTES_MAX)?;
        let text = str::from_utf8(&content).map_err(|e| {
            let line = line_and_column(&content[..e.valid_up_to()]).0;
            Requirement(format!("a file in UTF-8; line {line} is not"))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let table = DeTable::parse(text).map_err(|e| {
            let before = e.span().map_or(0, |span| span.start).min(text.len());
            let (line, column) = line_and_column(&text.as_bytes()[..before]);
            let what = e.message();
            Requirement(format!(
                "a file in TOML; line {line}, column {column}: {what}"
            ))
        })?;
        Ok(Self::of(table.into_inner(), faults))
    }

    fn of(table: DeTable<'_>, faults: &mut SettingFaults) -> Self {
        let mut file = Self::none();
        for (key, value) in table {
            let (key, value) = (key.into_inner(), value.into_inner());
            let named = |name: &str| key == name || key == name.to_ascii_lowercase();
            let Some(row) = SETTINGS.iter().position(|setting| named(setting.name)) else {
                let key = excerpt(&key);
                faults.push(match value {
                    DeValue::Table(_) => SettingFault::Table(key),
                    _ => SettingFault::UnknownKey(key),
                });
                continue;
            };
            file.0[row] = match file.0[row] {
                FileValue::Absent if row == const { self::row("CONFIG_FILE") } => {
                    faults.push(SettingFault::NotInFile(SETTINGS[row].name));
                    FileValue::Unknown
                }
                FileValue::Absent => file_value(SETTINGS[row].kind, value),
                FileValue::Text(_) | FileValue::WrongType(_) | FileValue::Unknown => {
                    faults.push(SettingFault::KeyTwice(SETTINGS[row].name));
                    FileValue::Unknown
                }
            };
        }
        file
    }

    /// Returns the value for the setting in `row`.
    pub(super) fn value(&self, row: usize) -> &FileValue {
        &self.0[row]
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

fn file_value(kind: ValueKind, value: DeValue<'_>) -> FileValue {
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
        DeValue::String(_) => FileValue::WrongType("a string"),
        DeValue::Integer(_) => FileValue::WrongType("an integer"),
        DeValue::Float(_) => FileValue::WrongType("a float"),
        DeValue::Boolean(_) => FileValue::WrongType("a boolean"),
        DeValue::Datetime(_) => FileValue::WrongType("a date or time"),
        DeValue::Array(_) => FileValue::WrongType("an array"),
        DeValue::Table(_) => FileValue::WrongType("a table"),
    }
}

/// Converts a number to decimal. A number that does not fit stays as it is written, and is refused
/// later.
fn decimal(number: &DeInteger<'_>) -> String {
    match i128::from_str_radix(number.as_str(), number.radix()) {
        Ok(value) => value.to_string(),
        Err(_) => number.to_string(),
    }
}

/// Returns the line and column at the end of `before`, both counted from 1.
fn line_and_column(before: &[u8]) -> (usize, usize) {
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let start = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |n| n + 1);
    (
        line,
        1 + String::from_utf8_lossy(&before[start..]).chars().count(),
    )
}
