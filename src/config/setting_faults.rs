//! The faults of the settings: all of them, in one error.

use std::fmt;

use super::file_line::FileLine;
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
        /// Where the file gives it.
        line: Option<FileLine>,
        /// The value. Parts that are not UTF-8 are replaced, and a secret is replaced entirely.
        value: String,
        /// What is wrong with it, if that is known.
        mistake: Option<String>,
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
    UnknownKey {
        /// The key.
        key: String,
        /// Where it is.
        line: FileLine,
    },
    /// The key `route` of the file is something else than tables.
    RoutesForm {
        /// Its type, in words.
        value_type: &'static str,
        /// Where it is.
        line: FileLine,
    },
    /// A fault in one route.
    Route {
        /// The route: `route "chat"`, or `route 2` if it has no name.
        label: String,
        /// The line of the field, or `[[route]]`.
        line: FileLine,
        /// The fault.
        fault: RouteFault,
    },
    /// The file has more routes than are allowed.
    TooManyRoutes {
        /// The number of routes.
        routes: usize,
        /// The largest number allowed.
        most: usize,
        /// The line of the first one.
        line: FileLine,
    },
    /// A table in the file, or several with one key.
    Table {
        /// The key of the table.
        key: String,
        /// Where it is.
        line: FileLine,
    },
    /// A setting that the file has both in upper case and in lower case.
    KeyTwice {
        /// The setting.
        name: &'static str,
        /// Where it is the second time.
        line: FileLine,
    },
    /// A setting that is not allowed in the file.
    NotInFile {
        /// The setting.
        name: &'static str,
        /// Where it is.
        line: FileLine,
    },
    /// A value in the file with a type that the setting does not take.
    WrongType {
        /// The setting.
        name: &'static str,
        /// Where it is.
        line: Option<FileLine>,
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
        /// What is wrong with it, if that is known.
        mistake: Option<String>,
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

    /// Adds a fault, if there is one.
    pub(super) fn extend(&mut self, fault: Option<SettingFault>) {
        if let Some(fault) = fault {
            self.push(fault);
        }
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
