//! Splits the command line into flags and values; the values are parsed later.

use std::ffi::OsString;

use lexopt::{Arg, Parser};

use super::faults::{Fault, Faults};
use super::kinds::Kind;
use super::table::SETTINGS;

/// The flags of one command line.
pub(super) struct Arguments {
    /// The value of each setting, by its row in the table; the last occurrence counts.
    pub(super) given: Vec<Option<OsString>>,
    /// What the process must do.
    pub(super) ask: Ask,
}

/// What the process must do. If the command line asks for several things, the last of this list
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    Run,
    Check,
    PrintConfig,
    Version,
    Help,
    HelpAll,
}

impl Arguments {
    /// Splits `args`, which does not include the program's name. Continues after a fault, so that
    /// all faults are reported.
    pub(super) fn split(args: impl IntoIterator<Item = OsString>, faults: &mut Faults) -> Self {
        let mut parser = Parser::from_args(args);
        let mut arguments = Arguments {
            given: vec![None; SETTINGS.len()],
            ask: Ask::Run,
        };
        loop {
            let flag = match parser.next() {
                Ok(None) => return arguments,
                Ok(Some(Arg::Long(name))) => format!("--{name}"),
                Ok(Some(Arg::Short(letter))) => format!("-{letter}"),
                Ok(Some(Arg::Value(word))) if word == "help" => {
                    arguments.ask(Ask::Help);
                    continue;
                }
                Ok(Some(Arg::Value(word))) if word == "version" => {
                    arguments.ask(Ask::Version);
                    continue;
                }
                Ok(Some(Arg::Value(surplus))) => {
                    // It may be meant as a variable, and its value may be a secret.
                    let mut surplus = lossy(&surplus);
                    surplus.truncate(surplus.find('=').unwrap_or(surplus.len()));
                    faults.push(Fault::SurplusArgument(surplus));
                    continue;
                }
                Err(lexopt::Error::UnexpectedValue { option, value }) => {
                    faults.push(Fault::SurplusValue {
                        flag: option,
                        value: lossy(&value),
                    });
                    continue;
                }
                // `next` has no other error today.
                Err(other) => {
                    faults.push(Fault::SurplusArgument(other.to_string()));
                    continue;
                }
            };
            match flag.as_str() {
                "--help" | "-h" => arguments.ask(Ask::Help),
                "--help-all" => arguments.ask(Ask::HelpAll),
                // A short form that other programs have, too.
                "--config" | "-c" => arguments.set("--config-file", &mut parser, faults),
                "--version" | "-V" => arguments.ask(Ask::Version),
                "--print-config" => arguments.ask(Ask::PrintConfig),
                "--check" => arguments.ask(Ask::Check),
                _ => arguments.set(&flag, &mut parser, faults),
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.ask = self.ask.max(ask);
    }

    fn set(&mut self, flag: &str, parser: &mut Parser, faults: &mut Faults) {
        let row = SETTINGS.iter().position(|setting| setting.dashed() == flag);
        if let Some(row) = row
            && SETTINGS[row].flag().is_none()
        {
            // The text after it is the secret, and is not reported.
            if parser.optional_value().is_none()
                && let Some(mut rest) = parser.try_raw_args()
            {
                rest.next();
            }
            faults.push(Fault::SecretFlag(SETTINGS[row].name));
            return;
        }
        let value = value_of(parser);
        let Some(row) = row else {
            faults.push(Fault::UnknownFlag(flag.to_owned()));
            return;
        };
        match (value, SETTINGS[row].kind) {
            (Some(value), _) => self.given[row] = Some(value),
            (None, Kind::Switch) => self.given[row] = Some("1".into()),
            (None, _) => {
                faults.push(Fault::NoValue {
                    flag: flag.to_owned(),
                    allowed: SETTINGS[row].allowed(),
                });
            }
        }
    }
}

/// Returns the value of the flag that was read last: after its `=`, or the next argument, unless
/// that is itself a flag.
fn value_of(parser: &mut Parser) -> Option<OsString> {
    if let Some(value) = parser.optional_value() {
        return Some(value);
    }
    let mut rest = parser.try_raw_args()?;
    let is_flag = rest.peek()?.as_encoded_bytes().starts_with(b"--");
    if is_flag { None } else { rest.next() }
}

fn lossy(text: &OsString) -> String {
    text.to_string_lossy().into_owned()
}
