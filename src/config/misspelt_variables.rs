//! Environment variables that were probably meant as settings.

use std::ffi::OsString;

use super::suggestion::suggest_variable;

/// Returns a warning for each variable whose name is almost that of a setting. Such a variable has
/// no effect, and the setting keeps its default. The value is not repeated: it may be a secret.
pub fn variable_warnings(names: impl IntoIterator<Item = OsString>) -> Vec<String> {
    let mut warnings: Vec<String> = names
        .into_iter()
        .filter_map(|name| {
            let name = name.into_string().ok()?;
            let meant = suggest_variable(&name)?;
            Some(format!(
                "{name} (env): is no setting, and has no effect; did you mean {meant}?"
            ))
        })
        .collect();
    warnings.sort();
    warnings
}
