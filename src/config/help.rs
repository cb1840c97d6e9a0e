//! Generates texts about the settings from the table: `--help`, and the table in the documentation.

use std::fmt::Write;

use super::table::{Audience, Fallback, ROUTE_FIELDS, SETTINGS, Setting};
use super::value_kind::ValueKind;

/// Returns the text of `--help`: the basic settings; with `all`, the text of `--help-all`: every
/// setting.
pub(super) fn help_text(all: bool) -> String {
    let mut text = format!(
        "pulsegate {}: a WebSocket gateway that owns liveness\n\n{ABOUT}",
        env!("CARGO_PKG_VERSION")
    );
    for (heading, settings) in groups().into_iter().take(if all { 2 } else { 1 }) {
        let _ = writeln!(text, "\n{heading} settings:\n");
        for setting in settings {
            let _ = writeln!(
                text,
                "  {} <{}>\n      {}\n      Default: {}.\n      Allowed: {}.\n      Reload: {}.\n",
                setting.flag().unwrap_or_else(|| setting.name.to_owned()),
                setting.kind.placeholder(),
                setting.help,
                setting.default,
                setting.allowed(),
                reload(setting)
            );
        }
        text.pop();
    }
    if !all {
        text.push_str("\n--help-all prints all settings, including those for tuning.\n");
    }
    text
}

const ABOUT: &str = "\
Usage: pulsegate [flags]

Every setting is a flag (--drain-ms 5000, or --drain-ms=5000), an environment variable
(DRAIN_MS=5000) and a key of the file that CONFIG_FILE names (drain_ms = 5000). The flag wins,
then the variable, then the file; a secret is never a flag. Of a flag that stands twice the last
one counts; an empty variable counts as unset. The flag alone of a setting that is 0 or 1 means 1.
A time is a number of milliseconds, or has a unit: 500ms, 15s, 2m, 1h.
SIGHUP reads the file again; a setting whose reload is \"restart\" then stays as it is.

  --check          check the settings and do nothing else
  --print-config   print every setting that holds, and where it comes from
  -h, --help       print this, with the basic settings
  --help-all       print this with every setting
  -V, --version    print the version
";

/// Returns the tables of settings for the documentation, in Markdown. `docs/operations.md` has them
/// between two marks, and a test checks that they are equal.
pub fn markdown_table() -> String {
    let mut text = String::new();
    for (heading, settings) in groups() {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "### {heading} settings\n\n\
             | variable | unit | default | allowed | reload | what it does |\n\
             | --- | --- | --- | --- | --- | --- |"
        );
        for setting in settings {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} | {} |",
                setting.name,
                unit(setting.kind),
                default_text(setting.default),
                allowed(setting.kind, setting.rule),
                reload(setting),
                setting.help
            );
        }
    }
    text
}

/// Returns the table of a route's fields for the documentation, in Markdown. `docs/routes.md` has
/// it between two marks, and a test checks that they are equal.
pub fn route_table() -> String {
    let mut text = String::from(
        "| field | unit | default | allowed | what it does |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for field in ROUTE_FIELDS {
        let default = match field.default {
            _ if field.is_required => "must be given".to_owned(),
            default => default_text(default),
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {default} | {} | {} |",
            field.name,
            unit(field.kind),
            allowed(field.kind, field.rule),
            field.help
        );
    }
    text
}

fn groups() -> [(&'static str, impl Iterator<Item = &'static Setting>); 2] {
    [("Basic", Audience::Basic), ("Advanced", Audience::Advanced)].map(|(heading, audience)| {
        let theirs = SETTINGS.iter().filter(move |s| s.audience == audience);
        (heading, theirs)
    })
}

fn unit(kind: ValueKind) -> String {
    match kind {
        ValueKind::Number { unit, .. } => unit.to_string(),
        _ => String::new(),
    }
}

fn default_text(default: Fallback) -> String {
    match default {
        Fallback::Value(name) | Fallback::SameAs(name) => format!("`{name}`"),
        Fallback::Derived(_) | Fallback::Absent => default.to_string(),
    }
}

fn reload(setting: &Setting) -> &'static str {
    if setting.reload { "yes" } else { "restart" }
}

/// Returns the allowed values without the unit, which has its own column.
fn allowed(kind: ValueKind, rule: Option<&str>) -> String {
    let bounds = match kind {
        ValueKind::Number { min, max, .. } => format!("{min} to {max}"),
        kind => kind.to_string(),
    };
    match rule {
        Some(rule) => format!("{bounds}; {rule}"),
        None => bounds,
    }
}
