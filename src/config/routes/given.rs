//! Routes as the file gives them.

use crate::config::file_value::{FileValue, excerpt, file_value, type_name};
use crate::config::setting_faults::{RouteFault, SettingFault, SettingFaults};
use crate::config::table::{ROUTE_FIELDS, field};
use toml::de::{DeTable, DeValue};

/// The most routes: the table is searched for each new client.
const ROUTES_MAX: usize = 256;

/// A route as the file gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct GivenRoute {
    /// The route in messages: `route "chat"`, or `route 2` if it has no name.
    pub(super) label: String,
    /// By the row of the table of fields.
    pub(super) fields: Vec<FileValue>,
}

impl GivenRoute {
    /// Reads the tables `[[route]]`. Unknown keys are reported here; values are parsed later.
    pub(in crate::config) fn read_all(
        value: DeValue<'_>,
        faults: &mut SettingFaults,
    ) -> Vec<GivenRoute> {
        let tables: Option<Vec<DeTable<'_>>> = match value {
            DeValue::Array(items) => {
                let table = |item| match item {
                    DeValue::Table(table) => Some(table),
                    _ => None,
                };
                items
                    .into_iter()
                    .map(|item| table(item.into_inner()))
                    .collect()
            }
            other => {
                faults.push(SettingFault::RoutesForm(type_name(&other)));
                return Vec::new();
            }
        };
        let Some(tables) = tables else {
            let found = "an array with items that are not tables";
            faults.push(SettingFault::RoutesForm(found));
            return Vec::new();
        };
        if tables.len() > ROUTES_MAX {
            faults.push(SettingFault::TooManyRoutes {
                routes: tables.len(),
                most: ROUTES_MAX,
            });
            return Vec::new();
        }
        let numbered = tables.into_iter().zip(1..);
        numbered
            .map(|(table, nth)| GivenRoute::read(table, nth, faults))
            .collect()
    }

    fn read(table: DeTable<'_>, nth: usize, faults: &mut SettingFaults) -> GivenRoute {
        let label = match table.get("name").and_then(|name| name.get_ref().as_str()) {
            Some(name) => format!("route {:?}", excerpt(name)),
            None => format!("route {nth}"),
        };
        let mut fields = vec![FileValue::Absent; ROUTE_FIELDS.len()];
        for (key, value) in table {
            let (key, value) = (key.into_inner(), value.into_inner());
            match ROUTE_FIELDS.iter().position(|field| field.name == key) {
                Some(at) => fields[at] = file_value(ROUTE_FIELDS[at].kind, value),
                None => faults.push(SettingFault::Route {
                    label: label.clone(),
                    fault: RouteFault::UnknownKey(excerpt(&key)),
                }),
            }
        }
        GivenRoute { label, fields }
    }

    /// Returns whether the route matches every request.
    pub(in crate::config) fn is_catch_all(&self) -> bool {
        let path = &self.fields[const { field("path") }];
        let host = &self.fields[const { field("host") }];
        let is_root = match path {
            FileValue::Absent => true,
            FileValue::Text(path) => path == "/",
            FileValue::WrongType(_) | FileValue::Unknown => false,
        };
        is_root && *host == FileValue::Absent
    }
}
