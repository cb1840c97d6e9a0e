//! What is wrong with the settings: all of it, in one error.

use std::fmt;

use super::guess;
use crate::gateway::AppsError;

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was not given.
    Default,
    /// From the file.
    File,
    /// From the environment variable.
    Variable,
    /// From the flag.
    Flag,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A value that is not allowed, by itself or beside another.
    Value {
        /// The setting's environment variable.
        name: &'static str,
        /// Where the value comes from.
        origin: Origin,
        /// The value; what is not UTF-8 in it is replaced, and all of it if it is a secret.
        value: String,
        /// What is allowed, in words that go on after "must be".
        allowed: String,
    },
    /// A flag that stands without the value that it needs.
    NoValue {
        /// The flag with its dashes.
        flag: String,
        /// What is allowed, in words that go on after "must be".
        allowed: String,
    },
    /// A flag that takes no value was given one.
    SurplusValue {
        /// The flag with its dashes.
        flag: String,
        /// The value.
        value: String,
    },
    /// There is no such flag. Its value is not repeated: it may be a secret of some other program.
    UnknownFlag(
        /// The flag with its dashes.
        String,
    ),
    /// A secret on the command line. It is not repeated.
    SecretFlag(
        /// The setting.
        &'static str,
    ),
    /// An argument that belongs to no flag.
    SurplusArgument(
        /// The argument, up to a `=`.
        String,
    ),
    /// A key of the file that is no setting. Its value is not repeated.
    UnknownKey(
        /// The key.
        String,
    ),
    /// A table in the file.
    Table(
        /// Its key.
        String,
    ),
    /// A setting that stands in the file in capitals and in small letters.
    KeyTwice(
        /// The setting.
        &'static str,
    ),
    /// A setting that cannot stand in the file.
    NotInFile(
        /// The setting.
        &'static str,
    ),
    /// A value of the file that is of a type which the setting does not have.
    WrongType {
        /// The setting.
        name: &'static str,
        /// What the value is, in words.
        is: &'static str,
        /// What is allowed, in words that go on after "must be".
        allowed: String,
    },
}

/// What a setting must be instead of what it is, in words that go on after "must be".
#[derive(Debug)]
pub(super) struct MustBe(pub(super) String);

impl From<AppsError> for MustBe {
    fn from(error: AppsError) -> Self {
        MustBe(error.to_string())
    }
}

/// Everything that is wrong, one line each: the command line first, then the settings in the order of the table, the file
/// with its unknown keys among them, then what does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
#[error("{}", list(.0))]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// Returns whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }
}

fn list(faults: &[Fault]) -> String {
    let mut text = match faults.len() {
        1 => "1 setting is wrong:".to_owned(),
        n => format!("{n} settings are wrong:"),
    };
    for fault in faults {
        text += &format!("\n  {fault}");
    }
    text
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Value {
                name,
                origin,
                value,
                allowed,
            } => write!(f, "{name}={value:?} ({origin}): must be {allowed}"),
            Fault::NoValue { flag, allowed } => {
                write!(f, "{flag} (flag): has no value; it must be {allowed}")
            }
            Fault::SurplusValue { flag, value } => {
                write!(f, "{flag}={value:?} (flag): takes no value")
            }
            Fault::UnknownFlag(flag) => {
                write!(f, "{flag:?} (flag): is unknown; ")?;
                meant(f, flag, |name| format!("--{}", name.replace('_', "-")))?;
                f.write_str("--help-all lists all flags")
            }
            Fault::SecretFlag(name) => {
                let flag = name.to_ascii_lowercase().replace('_', "-");
                write!(
                    f,
                    "--{flag} (flag): is never a flag, which every process could read; set the variable {name}"
                )
            }
            Fault::SurplusArgument(argument) => {
                write!(
                    f,
                    "{argument:?} (argument): belongs to no flag; --help-all lists all flags"
                )
            }
            Fault::UnknownKey(key) => {
                write!(f, "{key:?} (file): is unknown; ")?;
                meant(f, key, str::to_owned)?;
                f.write_str("--help-all lists all settings")
            }
            Fault::Table(key) => {
                write!(f, "{key:?} (file): is a table; settings stand in none")
            }
            Fault::KeyTwice(name) => {
                let key = name.to_ascii_lowercase();
                write!(f, "{name} (file): stands there as {key}, too; one must go")
            }
            Fault::NotInFile(name) => {
                write!(
                    f,
                    "{name} (file): cannot stand there; set the flag or the variable"
                )
            }
            Fault::WrongType { name, is, allowed } => {
                write!(f, "{name} (file): is {is}; it must be {allowed}")
            }
        }
    }
}

/// Names the setting that may have been meant, as it is written there; a secret is no flag and is named as its variable.
fn meant(f: &mut fmt::Formatter<'_>, name: &str, written: impl Fn(&str) -> String) -> fmt::Result {
    let Some(setting) = guess::setting(name) else {
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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Default => "default",
            Origin::File => "file",
            Origin::Variable => "env",
            Origin::Flag => "flag",
        })
    }
}
