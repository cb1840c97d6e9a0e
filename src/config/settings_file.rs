//! The settings file: TOML, with the settings as top-level keys, and routes as tables.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::file_value::{FileValue, excerpt, file_value};
use super::regular_file;
use super::routes::GivenRoute;
use super::setting_faults::{Requirement, SettingFault, SettingFaults};
use super::table::{SETTINGS, row};

/// The largest file, in bytes; a typical one has some thousand.
const BYTES_MAX: usize = 1 << 20;

/// The key of the tables that are routes.
const ROUTE: &str = "route";

/// The content of a file.
pub(super) struct SettingsFile {
    /// By the setting's row in the table.
    values: Vec<FileValue>,
    /// The routes, in the order of the file.
    pub(super) routes: Vec<GivenRoute>,
}

impl SettingsFile {
    /// Returns the result without a file.
    pub(super) fn none() -> Self {
        SettingsFile {
            values: vec![FileValue::Absent; SETTINGS.len()],
            routes: Vec::new(),
        }
    }

    /// Returns the result for a file that cannot be parsed.
    pub(super) fn unknown() -> Self {
        SettingsFile {
            values: vec![FileValue::Unknown; SETTINGS.len()],
            routes: Vec::new(),
        }
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
            if key == ROUTE {
                file.routes = GivenRoute::read_all(value, faults);
                continue;
            }
            let named = |name: &str| key == name || key == name.to_ascii_lowercase();
            let Some(row) = SETTINGS.iter().position(|setting| named(setting.name)) else {
                let key = excerpt(&key);
                faults.push(match value {
                    DeValue::Table(_) => SettingFault::Table(key),
                    _ => SettingFault::UnknownKey(key),
                });
                continue;
            };
            file.values[row] = match file.values[row] {
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
        &self.values[row]
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
