//! Splits the command line into flags and values; the values are parsed later.

use std::ffi::OsString;

use lexopt::{Arg, Parser};

use super::setting_faults::{SettingFault, SettingFaults};
use super::table::SETTINGS;
use super::value_kind::ValueKind;

/// The flags of one command line.
pub(super) struct Arguments {
    /// The value of each setting, by its row in the table; the last occurrence counts.
    pub(super) given: Vec<Option<OsString>>,
    /// What the process must do.
    pub(super) mode: CliMode,
}

/// What the process must do. If the command line asks for several things, the last of this list
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CliMode {
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
    pub(super) fn split(
        args: impl IntoIterator<Item = OsString>,
        faults: &mut SettingFaults,
    ) -> Self {
        let mut parser = Parser::from_args(args);
        let mut arguments = Arguments {
            given: vec![None; SETTINGS.len()],
            mode: CliMode::Run,
        };
        loop {
            let flag = match parser.next() {
                Ok(None) => return arguments,
                Ok(Some(Arg::Long(name))) => format!("--{name}"),
                Ok(Some(Arg::Short(letter))) => format!("-{letter}"),
                Ok(Some(Arg::Value(word))) if word == "help" => {
                    arguments.set_mode(CliMode::Help);
                    continue;
                }
                Ok(Some(Arg::Value(word))) if word == "version" => {
                    arguments.set_mode(CliMode::Version);
                    continue;
                }
                Ok(Some(Arg::Value(surplus))) => {
                    // It may be meant as a variable, and its value may be a secret.
                    let mut surplus = lossy(&surplus);
                    surplus.truncate(surplus.find('=').unwrap_or(surplus.len()));
                    faults.push(SettingFault::SurplusArgument(surplus));
                    continue;
                }
                Err(lexopt::Error::UnexpectedValue { option, value }) => {
                    faults.push(SettingFault::SurplusValue {
                        flag: option,
                        value: lossy(&value),
                    });
                    continue;
                }
                // `next` has no other error today.
                Err(other) => {
                    faults.push(SettingFault::SurplusArgument(other.to_string()));
                    continue;
                }
            };
            match flag.as_str() {
                "--help" | "-h" => arguments.set_mode(CliMode::Help),
                "--help-all" => arguments.set_mode(CliMode::HelpAll),
                // A short form that other programs have, too.
                "--config" | "-c" => arguments.set("--config-file", &mut parser, faults),
                "--version" | "-V" => arguments.set_mode(CliMode::Version),
                "--print-config" => arguments.set_mode(CliMode::PrintConfig),
                "--check" => arguments.set_mode(CliMode::Check),
                _ => arguments.set(&flag, &mut parser, faults),
            }
        }
    }

    fn set_mode(&mut self, mode: CliMode) {
        self.mode = self.mode.max(mode);
    }

    fn set(&mut self, flag: &str, parser: &mut Parser, faults: &mut SettingFaults) {
        let row = SETTINGS
            .iter()
            .position(|setting| setting.flag_name() == flag);
        if let Some(row) = row
            && SETTINGS[row].flag().is_none()
        {
            // The text after it is the secret, and is not reported.
            if parser.optional_value().is_none()
                && let Some(mut rest) = parser.try_raw_args()
            {
                rest.next();
            }
            faults.push(SettingFault::SecretFlag(SETTINGS[row].name));
            return;
        }
        let value = value_of(parser);
        let Some(row) = row else {
            faults.push(SettingFault::UnknownFlag(flag.to_owned()));
            return;
        };
        match (value, SETTINGS[row].kind) {
            (Some(value), _) => self.given[row] = Some(value),
            (None, ValueKind::Switch) => self.given[row] = Some("1".into()),
            (None, _) => {
                faults.push(SettingFault::NoValue {
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
