//! What is wrong with the settings: all of it, in one error.

use std::error::Error;
use std::fmt;

/// Where the value of a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was not given.
    Default,
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
        /// The value; what is not UTF-8 in it is replaced.
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
    /// An argument that belongs to no flag.
    SurplusArgument(
        /// The argument.
        String,
    ),
}

/// Everything that is wrong, one line each: the command line first, then the settings in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }
}

impl Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 setting is wrong:")?,
            n => write!(f, "{n} settings are wrong:")?,
        }
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
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
                write!(f, "{flag:?} (flag): is unknown; --help lists all flags")
            }
            Fault::SurplusArgument(argument) => {
                write!(
                    f,
                    "{argument:?} (argument): belongs to no flag; --help lists all flags"
                )
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Default => "default",
            Origin::Variable => "env",
            Origin::Flag => "flag",
        })
    }
}
