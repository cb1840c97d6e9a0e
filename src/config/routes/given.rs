//! Routes as the file gives them.

use crate::config::file_line::{FileLine, LineIndex};
use crate::config::file_value::{FileEntry, FileValue, excerpt, file_value, type_name};
use crate::config::setting_faults::{RouteFault, SettingFault, SettingFaults};
use crate::config::table::{ROUTE_FIELDS, field};
use toml::de::{DeTable, DeValue};

/// The most routes: the table is searched for each new client.
const ROUTES_MAX: usize = 256;

/// A route as the file gives it.
#[derive(Debug, Clone)]
pub(in crate::config) struct GivenRoute {
    /// The route in messages: `route "chat"`, or `route 2` if it has no name.
    pub(super) label: String,
    /// The line `[[route]]`.
    pub(super) line: FileLine,
    /// By the row of the table of fields.
    pub(super) fields: Vec<FileEntry>,
}

/// Compares the names and the values only, not the lines.
impl PartialEq for GivenRoute {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, &self.fields) == (&other.label, &other.fields)
    }
}

impl Eq for GivenRoute {}

impl GivenRoute {
    /// Reads the tables `[[route]]`, the first of which is in this line. Unknown keys are reported
    /// here; values are parsed later.
    pub(in crate::config) fn read_all(
        value: DeValue<'_>,
        line: FileLine,
        lines: &LineIndex,
        faults: &mut SettingFaults,
    ) -> Vec<GivenRoute> {
        let form = |value_type, line| SettingFault::RoutesForm { value_type, line };
        let items = match value {
            DeValue::Array(items) => items,
            other => {
                faults.push(form(type_name(&other), line));
                return Vec::new();
            }
        };
        if items.iter().any(|item| !item.get_ref().is_table()) {
            faults.push(form("an array with items that are not tables", line));
            return Vec::new();
        }
        if items.len() > ROUTES_MAX {
            faults.push(SettingFault::TooManyRoutes {
                routes: items.len(),
                most: ROUTES_MAX,
                line,
            });
            return Vec::new();
        }
        let mut routes = Vec::new();
        for item in items {
            let line = lines.line(&item.span());
            if let DeValue::Table(table) = item.into_inner() {
                let nth = routes.len() + 1;
                routes.push(GivenRoute::read(table, nth, line, lines, faults));
            }
        }
        routes
    }

    fn read(
        table: DeTable<'_>,
        nth: usize,
        line: FileLine,
        lines: &LineIndex,
        faults: &mut SettingFaults,
    ) -> GivenRoute {
        let label = match table.get("name").and_then(|name| name.get_ref().as_str()) {
            Some(name) => format!("route {:?}", excerpt(name)),
            None => format!("route {nth}"),
        };
        let mut fields = vec![FileEntry::ABSENT; ROUTE_FIELDS.len()];
        for (key, value) in table {
            let line = lines.line(&key.span());
            let (key, value) = (key.into_inner(), value.into_inner());
            match ROUTE_FIELDS.iter().position(|field| field.name == key) {
                Some(at) => {
                    let value = file_value(ROUTE_FIELDS[at].kind, value);
                    let line = Some(line);
                    fields[at] = FileEntry { value, line };
                }
                None => faults.push(SettingFault::Route {
                    label: label.clone(),
                    line,
                    fault: RouteFault::UnknownKey(excerpt(&key)),
                }),
            }
        }
        GivenRoute {
            label,
            line,
            fields,
        }
    }

    /// Returns whether the route matches every request.
    pub(in crate::config) fn is_catch_all(&self) -> bool {
        let path = &self.fields[const { field("path") }].value;
        let host = &self.fields[const { field("host") }].value;
        let is_root = match path {
            FileValue::Absent => true,
            FileValue::Text(path) => path == "/",
            FileValue::WrongType(_) | FileValue::Unknown => false,
        };
        is_root && *host == FileValue::Absent
    }
}
