//! The settings file: TOML, with the settings as top-level keys, and routes as tables.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::file_line::{FileLine, LineIndex};
use super::file_value::{FileEntry, FileValue, excerpt, file_value};
use super::regular_file;
use super::routes::GivenRoute;
use super::setting_faults::{Requirement, SettingFault, SettingFaults};
use super::suggestion::is_similar;
use super::table::{SETTINGS, row};

/// The largest file, in bytes; a typical one has some thousand.
const BYTES_MAX: usize = 1 << 20;

/// The key of the tables that are routes.
const ROUTE: &str = "route";

/// The content of a file.
pub(super) struct SettingsFile {
    /// By the setting's row in the table.
    entries: Vec<FileEntry>,
    /// The routes, in the order of the file.
    pub(super) routes: Vec<GivenRoute>,
}

impl SettingsFile {
    /// Returns the result without a file.
    pub(super) fn none() -> Self {
        SettingsFile {
            entries: vec![FileEntry::ABSENT; SETTINGS.len()],
            routes: Vec::new(),
        }
    }

    /// Returns the result for a file that cannot be parsed.
    pub(super) fn unknown() -> Self {
        SettingsFile {
            entries: vec![FileEntry::UNKNOWN; SETTINGS.len()],
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
        Ok(Self::of(
            table.into_inner(),
            &LineIndex::new(path, text),
            faults,
        ))
    }

    fn of(table: DeTable<'_>, lines: &LineIndex, faults: &mut SettingFaults) -> Self {
        let mut file = Self::none();
        for (key, value) in table {
            let line = lines.line(&key.span());
            let key = key.into_inner();
            let named = |name: &str| key == name || key == name.to_ascii_lowercase();
            if key == ROUTE {
                file.read_routes(value.into_inner(), line, lines, faults);
            } else if let Some(row) = SETTINGS.iter().position(|setting| named(setting.name)) {
                let (value, given) = (value.into_inner(), &file.entries[row].value);
                let value = match given {
                    FileValue::Absent if row == const { self::row("CONFIG_FILE") } => {
                        let name = SETTINGS[row].name;
                        faults.push(SettingFault::NotInFile {
                            name,
                            line: line.clone(),
                        });
                        FileValue::Unknown
                    }
                    FileValue::Absent => file_value(SETTINGS[row].kind, value),
                    FileValue::Text(_) | FileValue::WrongType(_) | FileValue::Unknown => {
                        let name = SETTINGS[row].name;
                        faults.push(SettingFault::KeyTwice {
                            name,
                            line: line.clone(),
                        });
                        FileValue::Unknown
                    }
                };
                let line = Some(line);
                file.entries[row] = FileEntry { value, line };
            } else {
                file.read_unknown(&key, value.into_inner(), line, lines, faults);
            }
        }
        file
    }

    /// Reads the tables `[[route]]`.
    fn read_routes(
        &mut self,
        value: DeValue<'_>,
        line: FileLine,
        lines: &LineIndex,
        faults: &mut SettingFaults,
    ) {
        let routes = GivenRoute::read_all(value, line, lines, faults);
        self.routes.extend(routes);
    }

    /// Reports a key that is not a setting. Tables that are probably routes are read as such, so
    /// that their faults are reported, too.
    fn read_unknown(
        &mut self,
        key: &str,
        value: DeValue<'_>,
        line: FileLine,
        lines: &LineIndex,
        faults: &mut SettingFaults,
    ) {
        let has_tables = match &value {
            DeValue::Array(items) => items.iter().any(|item| item.get_ref().is_table()),
            other => other.is_table(),
        };
        let at = line.clone();
        let key_shown = excerpt(key);
        faults.push(match has_tables {
            true => SettingFault::Table {
                key: key_shown,
                line,
            },
            false => SettingFault::UnknownKey {
                key: key_shown,
                line,
            },
        });
        if value.is_array() && has_tables && is_similar(key, ROUTE) {
            self.read_routes(value, at, lines, faults);
        }
    }

    /// Returns what the file has for the setting in `row`.
    pub(super) fn entry(&self, row: usize) -> &FileEntry {
        &self.entries[row]
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
