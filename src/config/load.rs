//! Loads the settings at the start.

use std::ffi::OsString;

use super::arguments::{Arguments, Ask};
use super::effective::Effective;
use super::faults::Faults;
use super::pages;
use super::settings::Settings;

/// The request of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the gateway.
    Run(Settings),
    /// The settings are valid; `--check` only asked to check them, so nothing else is to be done.
    Check(Settings),
    /// Print this text to standard output; nothing else is to be done.
    Print(String),
}

/// Reads `args` (without the program's name), the variables of `env` ([`std::env::var_os`]), and
/// the files that they name.
///
/// A flag has precedence over its variable, and the variable over the file; an overruled value is
/// not checked. An empty variable counts as unset. Unknown variables are ignored, but unknown keys
/// in the file are faults.
///
/// # Errors
/// Every fault of the command line and of the settings, in one error. `--help` and `--version` are
/// answered despite other faults.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, Faults> {
    let mut faults = Faults::default();
    let arguments = Arguments::split(args, &mut faults);
    match arguments.ask {
        Ask::Help => return Ok(Command::Print(pages::help(false))),
        Ask::HelpAll => return Ok(Command::Print(pages::help(true))),
        Ask::Version => return Ok(Command::Print(version())),
        Ask::Run | Ask::Check | Ask::PrintConfig => {}
    }
    let effective = Effective::resolve(arguments.given, env, &mut faults);
    match effective.settings() {
        Some(settings) if faults.is_empty() => Ok(match arguments.ask {
            Ask::PrintConfig => Command::Print(effective.print()),
            Ask::Check => Command::Check(settings),
            Ask::Run | Ask::Help | Ask::HelpAll | Ask::Version => Command::Run(settings),
        }),
        _ => Err(faults),
    }
}

fn version() -> String {
    concat!("pulsegate ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
}
