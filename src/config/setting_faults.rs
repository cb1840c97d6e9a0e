//! The faults of the settings: all of them, in one error.

use std::fmt;

use super::suggestion;
use crate::gateway::AppRegistryError;

/// The origin of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueOrigin {
    /// The value was not given; it is the default.
    Default,
    /// The value is from the settings file.
    File,
    /// The value is from the environment variable.
    Variable,
    /// The value is from the flag on the command line.
    Flag,
}

/// One fault in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingFault {
    /// A value that is not allowed, by itself or together with another.
    Value {
        /// The setting's environment variable.
        name: &'static str,
        /// The origin of the value.
        origin: ValueOrigin,
        /// The value. Parts that are not UTF-8 are replaced, and a secret is replaced entirely.
        value: String,
        /// The allowed values, in words that follow "must be".
        allowed: String,
    },
    /// A flag without the value that it needs.
    NoValue {
        /// The flag with its dashes.
        flag: String,
        /// The allowed values, in words that follow "must be".
        allowed: String,
    },
    /// A value for a flag that takes none.
    SurplusValue {
        /// The flag with its dashes.
        flag: String,
        /// The value.
        value: String,
    },
    /// A flag that does not exist. Its value is not repeated: it may be a secret of another
    /// program.
    UnknownFlag(
        /// The flag with its dashes.
        String,
    ),
    /// A variable with the name that a setting had before. Its value is not repeated.
    RenamedVariable {
        /// The variable that is set.
        old: String,
        /// The setting's name today.
        name: &'static str,
    },
    /// A secret on the command line. Its value is not repeated.
    SecretFlag(
        /// The setting.
        &'static str,
    ),
    /// An argument that belongs to no flag.
    SurplusArgument(
        /// The argument, up to a `=`.
        String,
    ),
    /// A key of the file that is not a setting. Its value is not repeated.
    UnknownKey(
        /// The key.
        String,
    ),
    /// The key `route` of the file is something else than tables; the type in words.
    RoutesForm(
        /// The type, in words.
        &'static str,
    ),
    /// A fault in one route.
    Route {
        /// The route: `route "chat"`, or `route 2` if it has no name.
        label: String,
        /// The fault.
        fault: RouteFault,
    },
    /// The file has more routes than are allowed.
    TooManyRoutes {
        /// The number of routes.
        routes: usize,
        /// The largest number allowed.
        most: usize,
    },
    /// A table in the file.
    Table(
        /// The key of the table.
        String,
    ),
    /// A setting that the file has both in upper case and in lower case.
    KeyTwice(
        /// The setting.
        &'static str,
    ),
    /// A setting that is not allowed in the file.
    NotInFile(
        /// The setting.
        &'static str,
    ),
    /// A value in the file with a type that the setting does not take.
    WrongType {
        /// The setting.
        name: &'static str,
        /// The type of the value, in words.
        value_type: &'static str,
        /// The allowed values, in words that follow "must be".
        allowed: String,
    },
}

/// One fault in a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteFault {
    /// A value that is not allowed, by itself or together with another.
    Value {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
        /// The allowed values, in words that follow "must be".
        allowed: String,
    },
    /// A value with a type that the field does not take.
    WrongType {
        /// The field.
        field: &'static str,
        /// The type of the value, in words.
        value_type: &'static str,
        /// The allowed values, in words that follow "must be".
        allowed: String,
    },
    /// A field that every route must have.
    Missing {
        /// The field.
        field: &'static str,
        /// The allowed values, in words that follow "must be".
        allowed: String,
    },
    /// A key that is not a field. Its value is not repeated.
    UnknownKey(
        /// The key.
        String,
    ),
}

/// A description of the allowed values, in words that follow "must be".
#[derive(Debug)]
pub(super) struct Requirement(pub(super) String);

impl From<AppRegistryError> for Requirement {
    fn from(error: AppRegistryError) -> Self {
        Requirement(error.to_string())
    }
}

/// The most faults that are told.
const FAULTS_MAX: usize = 100;

/// All faults, one line each. The command line comes first, then the settings in the order of the
/// table, including the file with its unknown keys. Conflicts between settings come last.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
#[error("{}", list(.0))]
pub struct SettingFaults(Vec<SettingFault>);

impl SettingFaults {
    /// Returns an iterator over the faults.
    pub fn iter(&self) -> impl Iterator<Item = &SettingFault> {
        self.0.iter()
    }

    /// Returns whether there are no faults.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a fault. Beyond a hundred they are not kept: the file is something else than settings.
    pub(super) fn push(&mut self, fault: SettingFault) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(fault);
        }
    }
}

fn list(faults: &[SettingFault]) -> String {
    let mut text = match faults.len() {
        FAULTS_MAX => format!("at least {FAULTS_MAX} settings are wrong:"),
        1 => "1 setting is wrong:".to_owned(),
        n => format!("{n} settings are wrong:"),
    };
    for fault in faults {
        text += &format!("\n  {fault}");
    }
    text
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingFault::Value {
                name,
                origin,
                value,
                allowed,
            } => write!(f, "{name}={value:?} ({origin}): must be {allowed}"),
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
            SettingFault::UnknownKey(key) => {
                write!(f, "{key:?} (file): is unknown; ")?;
                suggest(f, key, str::to_owned)?;
                f.write_str("--help-all lists all settings")
            }
            SettingFault::RoutesForm(value_type) => {
                write!(
                    f,
                    "\"route\" (file): is {value_type}; it must be tables, each under a line \
                     [[route]]"
                )
            }
            SettingFault::Route { label, fault } => write!(f, "{label} (file): {fault}"),
            SettingFault::TooManyRoutes { routes, most } => {
                write!(
                    f,
                    "\"route\" (file): there are {routes}; at most {most} are allowed"
                )
            }
            SettingFault::Table(key) => {
                write!(
                    f,
                    "{key:?} (file): is a table; settings must be outside of tables, and routes \
                     under [[route]]"
                )
            }
            SettingFault::KeyTwice(name) => {
                let key = name.to_ascii_lowercase();
                write!(
                    f,
                    "{name} (file): is given twice, as {name} and as {key}; remove one of them"
                )
            }
            SettingFault::NotInFile(name) => {
                write!(
                    f,
                    "{name} (file): is not allowed in the file; set the flag or the variable"
                )
            }
            SettingFault::WrongType {
                name,
                value_type,
                allowed,
            } => {
                write!(f, "{name} (file): is {value_type}; it must be {allowed}")
            }
        }
    }
}

impl fmt::Display for RouteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteFault::Value {
                field,
                value,
                allowed,
            } => write!(f, "{field}={value:?}: must be {allowed}"),
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
                if super::SETTINGS
                    .iter()
                    .any(|s| s.name.eq_ignore_ascii_case(key))
                {
                    return f
                        .write_str("it is a setting, and must stand before the first [[route]]");
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
    let is_flag = super::SETTINGS
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

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueOrigin::Default => "default",
            ValueOrigin::File => "file",
            ValueOrigin::Variable => "env",
            ValueOrigin::Flag => "flag",
        })
    }
}
