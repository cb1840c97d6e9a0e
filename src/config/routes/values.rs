//! The effective values of a route.

use super::given::GivenRoute;
use crate::config::file_line::FileLine;
use crate::config::file_value::{FileEntry, FileValue, excerpt};
use crate::config::mistakes::find_mistake;
use crate::config::setting_faults::{RouteFault, SettingFault, SettingFaults};
use crate::config::setting_value::SettingValue;
use crate::config::table::{Fallback, ROUTE_FIELDS, field};
use crate::gateway::WeightedUpstream;
use std::fmt::Write;

/// The effective values of a route.
#[derive(Debug, Clone)]
pub(in crate::config) struct RouteValues {
    /// The route in messages.
    pub(super) label: String,
    /// The line `[[route]]`.
    line: FileLine,
    /// By the row of the table of fields.
    pub(super) fields: Vec<RouteValue>,
}

/// The effective value of one field of a route.
#[derive(Debug, Clone)]
pub(super) struct RouteValue {
    /// `None`: there was a fault, which has been reported.
    pub(super) value: Option<SettingValue>,
    /// Whether the file gives it.
    pub(super) is_given: bool,
    /// Where the file gives it.
    line: Option<FileLine>,
}

/// Compares the values only, not whether they are given.
impl PartialEq for RouteValues {
    fn eq(&self, other: &Self) -> bool {
        self.changed_fields(other).next().is_none()
    }
}

impl Eq for RouteValues {}

impl RouteValues {
    /// Resolves every field of a route. `general` returns the value of the setting with a name.
    pub(in crate::config) fn resolve(
        given: &GivenRoute,
        general: &impl Fn(&'static str) -> Option<SettingValue>,
        faults: &mut SettingFaults,
    ) -> Self {
        let fields = given.fields.iter().zip(ROUTE_FIELDS).map(|(entry, field)| {
            let FileEntry { value, line } = entry;
            let mut fault = |fault| {
                faults.push(SettingFault::Route {
                    label: given.label.clone(),
                    line: line.as_ref().unwrap_or(&given.line).clone(),
                    fault,
                });
                None
            };
            let name = field.name;
            let resolved = match value {
                FileValue::Absent if field.is_required => fault(RouteFault::Missing {
                    field: name,
                    allowed: field.allowed(),
                }),
                FileValue::Absent => match field.default {
                    Fallback::Value(text) => field.kind.parse(text),
                    Fallback::SameAs(setting) => general(setting),
                    Fallback::Derived(_) | Fallback::Absent => Some(SettingValue::Absent),
                },
                FileValue::Text(text) => field.kind.parse(text).or_else(|| {
                    fault(RouteFault::Value {
                        field: name,
                        value: excerpt(text),
                        mistake: find_mistake(field.kind, text),
                        allowed: field.allowed(),
                    })
                }),
                FileValue::WrongType(value_type) => fault(RouteFault::WrongType {
                    field: name,
                    value_type,
                    allowed: field.allowed(),
                }),
                FileValue::Unknown => None,
            };
            RouteValue {
                value: resolved,
                is_given: !matches!(value, FileValue::Absent),
                line: line.clone(),
            }
        });
        RouteValues {
            label: given.label.clone(),
            line: given.line.clone(),
            fields: fields.collect(),
        }
    }

    /// Returns the name; empty if there was a fault.
    pub(in crate::config) fn name(&self) -> &str {
        match &self.fields[const { field("name") }].value {
            Some(SettingValue::Name(name)) => name,
            _ => "",
        }
    }

    /// Returns the names of the fields whose values are different in `other`.
    pub(in crate::config) fn changed_fields(
        &self,
        other: &Self,
    ) -> impl Iterator<Item = &'static str> {
        let pairs = self.fields.iter().zip(&other.fields).zip(ROUTE_FIELDS);
        pairs
            .filter(|((old, new), _)| old.value != new.value)
            .map(|(_, field)| field.name)
    }

    /// Returns the route as comments of a shell: `# name = "chat" # file`.
    pub(in crate::config) fn print(&self) -> String {
        let mut text = String::from("# [[route]]\n");
        for (
            field,
            RouteValue {
                value, is_given, ..
            },
        ) in ROUTE_FIELDS.iter().zip(&self.fields)
        {
            let value = value.as_ref().filter(|v| **v != SettingValue::Absent);
            let value = match value {
                None => "none".to_owned(),
                Some(number @ (SettingValue::Number(_) | SettingValue::Switch(_))) => {
                    number.to_string()
                }
                Some(other) => format!("{:?}", other.to_string()),
            };
            let origin = match (is_given, field.default) {
                (true, _) => "file".to_owned(),
                (false, Fallback::SameAs(name)) => format!("default: {name}"),
                (false, _) => "default".to_owned(),
            };
            let _ = writeln!(text, "# {} = {value} # {origin}", field.name);
        }
        text
    }

    /// Returns the fault that the value of a field is not one of the allowed ones.
    pub(super) fn fault(&self, at: usize, allowed: String) -> SettingFault {
        let RouteValue { value, line, .. } = &self.fields[at];
        let value = value.as_ref();
        SettingFault::Route {
            label: self.label.clone(),
            line: line.as_ref().unwrap_or(&self.line).clone(),
            fault: RouteFault::Value {
                field: ROUTE_FIELDS[at].name,
                value: value.map(SettingValue::to_string).unwrap_or_default(),
                mistake: None,
                allowed,
            },
        }
    }

    /// Returns the upstreams; none if there was a fault.
    pub(in crate::config) fn upstreams(&self) -> &[WeightedUpstream] {
        match &self.fields[const { field("upstream") }].value {
            Some(SettingValue::Upstreams(upstreams)) => upstreams,
            _ => &[],
        }
    }

    /// Returns the fault that the upstreams are not allowed.
    pub(in crate::config) fn upstream_fault(&self, allowed: String) -> SettingFault {
        self.fault(const { field("upstream") }, allowed)
    }

    /// Returns whether clients need a token.
    pub(in crate::config) fn verifies_tokens(&self) -> bool {
        self.has_word(const { field("auth") }, "jwt")
    }

    /// Returns whether a field has this word as its value.
    fn has_word(&self, at: usize, wanted: &str) -> bool {
        matches!(self.fields[at].value, Some(SettingValue::Word(word)) if word == wanted)
    }

    /// Returns whether browsers drop the cookie that the gateway sets: one for pages of all sites
    /// that is never Secure.
    pub(in crate::config) fn has_dropped_cookie(&self) -> bool {
        self.has_word(const { field("sticky_same_site") }, "none")
            && self.has_word(const { field("sticky_secure") }, "never")
    }

    /// Returns whether only pages of some origins may connect.
    pub(in crate::config) fn restricts_origins(&self) -> bool {
        let origins = &self.fields[const { field("allowed_origins") }].value;
        matches!(origins, Some(SettingValue::Origins(_)))
    }

    /// Returns the fault that a reload would remove a restriction of clients.
    pub(in crate::config) fn restriction_removed(&self, at: usize) -> SettingFault {
        let allowed = "given: a reload does not remove it; only a restart does".to_owned();
        self.fault(at, allowed)
    }

    /// Returns the host and the path without a slash at its end, if both are valid.
    pub(super) fn place(&self) -> Option<(Option<&str>, &str)> {
        let host = match self.fields[const { field("host") }].value.as_ref()? {
            SettingValue::Name(host) => Some(&**host),
            _ => None,
        };
        match self.fields[const { field("path") }].value.as_ref()? {
            SettingValue::HttpPath(path) => Some((host, path.trim_end_matches('/'))),
            _ => None,
        }
    }

    pub(super) fn number(&self, at: usize) -> Option<u64> {
        match self.fields[at].value.as_ref()? {
            SettingValue::Number(number) => Some(*number),
            _ => None,
        }
    }
}
