//! The settings file: TOML, with the settings as top-level keys.

use std::path::Path;

use toml::de::{DeInteger, DeTable, DeValue};

use super::faults::{Fault, Faults, MustBe};
use super::kinds::{Kind, Unit};
use super::regular;
use super::table::{SETTINGS, row};

/// The largest file, in bytes; a typical one has some thousand.
const MOST: usize = 1 << 20;

/// The values in a file, by the setting's row in the table.
pub(super) struct File(Vec<Said>);

/// The value of one setting in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The file does not have this setting, or there is no file.
    Nothing,
    /// The value, as it is written in a variable.
    Text(String),
    /// The value has a type that the setting does not take; the type in words.
    WrongType(&'static str),
    /// The value is unknown because of a fault that was reported already.
    Unknown,
}

impl File {
    /// Returns the result without a file.
    pub(super) fn none() -> Self {
        File(vec![Said::Nothing; SETTINGS.len()])
    }

    /// Returns the result for a file that cannot be parsed.
    pub(super) fn unknown() -> Self {
        File(vec![Said::Unknown; SETTINGS.len()])
    }

    /// Reads the file at `path`. Unknown keys are reported here; values are parsed later.
    ///
    /// # Errors
    /// What the file must be. The message repeats no line of it, which might be a secret.
    pub(super) fn read(path: &Path, faults: &mut Faults) -> Result<Self, MustBe> {
        let content = regular::read(path, MOST)?;
        let text = str::from_utf8(&content).map_err(|e| {
            let line = line_and_column(&content[..e.valid_up_to()]).0;
            MustBe(format!("a file in UTF-8; line {line} is not"))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let table = DeTable::parse(text).map_err(|e| {
            let before = e.span().map_or(0, |span| span.start).min(text.len());
            let (line, column) = line_and_column(&text.as_bytes()[..before]);
            let what = e.message();
            MustBe(format!(
                "a file in TOML; line {line}, column {column}: {what}"
            ))
        })?;
        Ok(Self::of(table.into_inner(), faults))
    }

    fn of(table: DeTable<'_>, faults: &mut Faults) -> Self {
        let mut file = Self::none();
        for (key, value) in table {
            let (key, value) = (key.into_inner(), value.into_inner());
            let named = |name: &str| key == name || key == name.to_ascii_lowercase();
            let Some(row) = SETTINGS.iter().position(|setting| named(setting.name)) else {
                let key = beginning(&key);
                faults.push(match value {
                    DeValue::Table(_) => Fault::Table(key),
                    _ => Fault::UnknownKey(key),
                });
                continue;
            };
            file.0[row] = match file.0[row] {
                Said::Nothing if row == const { self::row("CONFIG_FILE") } => {
                    faults.push(Fault::NotInFile(SETTINGS[row].name));
                    Said::Unknown
                }
                Said::Nothing => said(SETTINGS[row].kind, value),
                Said::Text(_) | Said::WrongType(_) | Said::Unknown => {
                    faults.push(Fault::KeyTwice(SETTINGS[row].name));
                    Said::Unknown
                }
            };
        }
        file
    }

    /// Returns the value for the setting in `row`.
    pub(super) fn said(&self, row: usize) -> &Said {
        &self.0[row]
    }
}

/// Returns the part of a key or value that a message repeats: at most one line. A string that is
/// not closed in its line continues into the lines of other settings.
pub(super) fn beginning(text: &str) -> String {
    const SHOWN: usize = 100;
    let line = text.split(char::is_control).next().unwrap_or_default();
    let shown: String = line.chars().take(SHOWN).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    shown + rest
}

fn said(kind: Kind, value: DeValue<'_>) -> Said {
    let is_text = !matches!(kind, Kind::Number { .. } | Kind::Switch);
    let is_time = matches!(
        kind,
        Kind::Number {
            unit: Unit::Milliseconds,
            ..
        }
    );
    let is_switch = matches!(kind, Kind::Switch);
    let is_list = matches!(
        kind,
        Kind::Networks | Kind::Origins | Kind::FrameTypes | Kind::Subprotocols | Kind::HostNames
    );
    match value {
        DeValue::String(text) if is_text => Said::Text(text.into_owned()),
        // A time with its unit is not a TOML number.
        DeValue::String(text) if is_time && text.ends_with(char::is_alphabetic) => {
            Said::Text(text.into_owned())
        }
        DeValue::Integer(number) if !is_text => Said::Text(decimal(&number)),
        DeValue::Boolean(on) if is_switch => Said::Text(on.to_string()),
        DeValue::Array(items) if is_list => {
            let texts: Option<Vec<_>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            match texts {
                Some(texts) => Said::Text(texts.join(",")),
                None => Said::WrongType("an array with items that are not strings"),
            }
        }
        DeValue::String(_) => Said::WrongType("a string"),
        DeValue::Integer(_) => Said::WrongType("an integer"),
        DeValue::Float(_) => Said::WrongType("a float"),
        DeValue::Boolean(_) => Said::WrongType("a boolean"),
        DeValue::Datetime(_) => Said::WrongType("a date or time"),
        DeValue::Array(_) => Said::WrongType("an array"),
        DeValue::Table(_) => Said::WrongType("a table"),
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
