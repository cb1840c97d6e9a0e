//! Loads the settings at the start.

use std::ffi::OsString;

use super::arguments::{Arguments, CliMode};
use super::effective_values::EffectiveValues;
use super::help;
use super::setting_faults::SettingFaults;
use super::settings::Settings;

/// The request of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CliAction {
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
) -> Result<CliAction, SettingFaults> {
    let mut faults = SettingFaults::default();
    let arguments = Arguments::split(args, &mut faults);
    match arguments.mode {
        CliMode::Help => return Ok(CliAction::Print(help::help_text(false))),
        CliMode::HelpAll => return Ok(CliAction::Print(help::help_text(true))),
        CliMode::Version => return Ok(CliAction::Print(version())),
        CliMode::Run | CliMode::Check | CliMode::PrintConfig => {}
    }
    let effective = EffectiveValues::resolve(arguments.given, env, &mut faults);
    match effective.settings() {
        Some(settings) if faults.is_empty() => Ok(match arguments.mode {
            CliMode::PrintConfig => CliAction::Print(effective.print()),
            CliMode::Check => CliAction::Check(settings),
            CliMode::Run | CliMode::Help | CliMode::HelpAll | CliMode::Version => {
                CliAction::Run(settings)
            }
        }),
        _ => Err(faults),
    }
}

fn version() -> String {
    concat!("pulsegate ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
}
