//! The words of faults: each says what is wrong, where, and what is allowed.

use std::fmt;

use super::file_line::FileLine;
use super::setting_faults::{RouteFault, SettingFault, ValueOrigin};
use super::suggestion;
use super::table::{ROUTE_FIELDS, SETTINGS};

/// Where a setting was given: the line of the file, or else its origin.
pub(super) struct SettingPlace<'a>(pub(super) ValueOrigin, pub(super) Option<&'a FileLine>);

impl fmt::Display for SettingPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(line) => write!(f, "{line}"),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingFault::Value {
                name,
                origin,
                line,
                value,
                mistake,
                allowed,
            } => {
                let place = SettingPlace(*origin, line.as_ref());
                write!(f, "{name}={value:?} ({place}): ")?;
                write_rule(f, mistake.as_deref(), allowed)
            }
            SettingFault::NoValue { flag, allowed } => {
                write!(f, "{flag} (flag): has no value; it must be {allowed}")
            }
            SettingFault::SurplusValue { flag, value } => {
                write!(f, "{flag}={value:?} (flag): takes no value")
            }
            SettingFault::UnknownFlag(flag) => {
                write!(f, "{flag:?} (flag): is unknown; ")?;
                suggest(f, flag, |name| format!("--{}", name.replace('_', "-")))?;
                f.write_str("--help-all lists all flags")
            }
            SettingFault::RenamedVariable { old, name } => {
                write!(f, "{old} (env): was renamed; set {name} instead")
            }
            SettingFault::SecretFlag(name) => {
                let flag = name.to_ascii_lowercase().replace('_', "-");
                write!(
                    f,
                    "--{flag} (flag): is a secret, and other processes could read a flag; set the \
                     variable {name} instead"
                )
            }
            SettingFault::SurplusArgument(argument) => {
                write!(
                    f,
                    "{argument:?} (argument): is neither a flag nor the value of one; --help-all \
                     lists all flags"
                )
            }
            SettingFault::Route { label, line, fault } => write!(f, "{label} ({line}): {fault}"),
            other => write_file_fault(f, other),
        }
    }
}

/// Writes a fault that only a file can have.
fn write_file_fault(f: &mut fmt::Formatter<'_>, fault: &SettingFault) -> fmt::Result {
    match fault {
        SettingFault::UnknownKey { key, line } => {
            write!(f, "{key:?} ({line}): is unknown; ")?;
            if ROUTE_FIELDS.iter().any(|field| field.name == key) {
                return f.write_str("it is a field of a route, and must stand below [[route]]");
            }
            if suggestion::suggest_setting(key).is_none()
                && let Some(field) = suggestion::suggest_field(key)
            {
                return write!(
                    f,
                    "did you mean the field {field} of a route, below [[route]]?"
                );
            }
            suggest(f, key, str::to_owned)?;
            f.write_str("--help-all lists all settings")
        }
        SettingFault::RoutesForm { value_type, line } => write!(
            f,
            "\"route\" ({line}): is {value_type}; it must be tables, each under a line [[route]]"
        ),
        SettingFault::TooManyRoutes { routes, most, line } => write!(
            f,
            "\"route\" ({line}): there are {routes}; at most {most} are allowed"
        ),
        SettingFault::Table { key, line } => {
            write!(f, "{key:?} ({line}): is a table; ")?;
            if suggestion::is_similar(key, "route") {
                f.write_str("did you mean [[route]]? ")?;
            }
            f.write_str("settings must be outside of tables, and routes under [[route]]")
        }
        SettingFault::KeyTwice { name, line } => {
            let key = name.to_ascii_lowercase();
            write!(
                f,
                "{name} ({line}): is given twice, as {name} and as {key}; remove one of them"
            )
        }
        SettingFault::NotInFile { name, line } => write!(
            f,
            "{name} ({line}): is not allowed in the file; set the flag or the variable"
        ),
        SettingFault::WrongType {
            name,
            line,
            value_type,
            allowed,
        } => {
            let place = SettingPlace(ValueOrigin::File, line.as_ref());
            write!(f, "{name} ({place}): is {value_type}; it must be {allowed}")
        }
        // The others are written by the caller.
        other => write!(f, "{other:?}"),
    }
}

/// Writes what is wrong with a value, and what is allowed.
fn write_rule(f: &mut fmt::Formatter<'_>, mistake: Option<&str>, allowed: &str) -> fmt::Result {
    match mistake {
        Some(mistake) => write!(f, "{mistake} (allowed: {allowed})"),
        None => write!(f, "must be {allowed}"),
    }
}

impl fmt::Display for RouteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteFault::Value {
                field,
                value,
                mistake,
                allowed,
            } => {
                write!(f, "{field}={value:?}: ")?;
                write_rule(f, mistake.as_deref(), allowed)
            }
            RouteFault::WrongType {
                field,
                value_type,
                allowed,
            } => write!(f, "{field} is {value_type}; it must be {allowed}"),
            RouteFault::Missing { field, allowed } => {
                write!(f, "{field} is missing; it must be {allowed}")
            }
            RouteFault::UnknownKey(key) => {
                write!(f, "{key:?} is unknown; ")?;
                if SETTINGS.iter().any(|s| s.name.eq_ignore_ascii_case(key)) {
                    return f
                        .write_str("it is a setting, and must stand before the first [[route]]");
                }
                if key == "weight" {
                    let example = "upstream = \"http://127.0.0.1:3000 weight=2\"";
                    return write!(f, "a weight stands behind the URL: {example}");
                }
                if let Some(field) = suggestion::suggest_field(key) {
                    write!(f, "did you mean {field}? ")?;
                }
                f.write_str("docs/routes.md lists all fields")
            }
        }
    }
}

/// Writes the name of the setting that was probably meant, in the form that `written` returns. A
/// secret has no flag, so the name of its variable is written.
fn suggest(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    written: impl Fn(&str) -> String,
) -> fmt::Result {
    let Some(setting) = suggestion::suggest_setting(name) else {
        return Ok(());
    };
    let is_flag = SETTINGS
        .iter()
        .any(|s| s.name == setting && s.flag().is_some());
    if name.starts_with('-') && !is_flag {
        return write!(f, "did you mean the variable {setting}? ");
    }
    write!(
        f,
        "did you mean {}? ",
        written(&setting.to_ascii_lowercase())
    )
}
