//! Reads what the process was started with.

use std::ffi::OsString;

use super::arguments::{Arguments, Ask};
use super::effective::Effective;
use super::faults::Faults;
use super::pages;
use super::settings::Settings;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the gateway.
    Run(Settings),
    /// The settings were to be checked, and they are right. There is nothing else to do.
    Check(Settings),
    /// Print this to standard output as it is. There is nothing else to do.
    Print(String),
}

/// Reads `args` (without the program's name), the variables of `env` ([`std::env::var_os`]), and the files that they name.
///
/// A flag wins over its variable, and that over the file; what is overruled is not looked at. An empty variable counts as
/// unset; variables that are not in the table are ignored, but the file has nothing else in it.
///
/// # Errors
/// Every fault of the command line and of the settings, in one error. `--help` and `--version` are answered whatever else
/// is wrong.
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
