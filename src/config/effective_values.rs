//! The effective value of every setting, and its origin.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;

use super::fault_text::SettingPlace;
use super::file_line::FileLine;
use super::file_value::{FileEntry, FileValue, excerpt};
use super::mistakes::find_mistake;
use super::regular_file;
use super::routes::{GivenRoute, RouteValues};
use super::secret::Secret;
use super::setting_faults::{Requirement, SettingFault, SettingFaults, ValueOrigin};
use super::setting_value::SettingValue;
use super::settings_file::SettingsFile;
use super::table::{Fallback, SETTINGS, Setting, row};
use super::value_kind::ValueKind;
use crate::gateway::AppRegistry;
use crate::side::kept_target;

/// The value and origin of every setting, and the routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EffectiveValues {
    /// By the setting's row in the table.
    pub(super) values: Vec<EffectiveValue>,
    /// The routes as the file gives them.
    pub(super) given_routes: Vec<GivenRoute>,
    /// The routes with all their values.
    pub(super) routes: Vec<RouteValues>,
}

#[derive(Debug, Clone)]
pub(super) struct EffectiveValue {
    /// `None`: there was a fault, which has been reported.
    pub(super) value: Option<SettingValue>,
    pub(super) origin: ValueOrigin,
    /// Where the file gives it.
    pub(super) line: Option<FileLine>,
}

/// Compares the values only, not their origins.
impl PartialEq for EffectiveValue {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for EffectiveValue {}

/// The lower bound of the default of `MAX_PENDING_BYTES`.
const PENDING_DEFAULT_MIN: u64 = 4 << 20;

/// The upper bound of the default of `REPLAY_MAX_BYTES`.
const REPLAY_DEFAULT_MAX: u64 = 256 << 10;

/// The largest file of a secret, in bytes; it needs one line.
const SECRET_FILE_MAX: usize = 64 << 10;

/// The largest file of apps, in bytes: ten thousand apps of more than a KiB each.
const APPS_FILE_MAX: usize = 16 << 20;

/// The settings that are secrets, each with the setting for its file.
pub(super) const SECRETS: [(usize, usize); 3] = [
    (row("AUTH_JWT_SECRET"), row("AUTH_JWT_SECRET_FILE")),
    (row("ADMIN_TOKEN"), row("ADMIN_TOKEN_FILE")),
    (row("EVENTS_SECRET"), row("EVENTS_SECRET_FILE")),
];

/// The credentials: if none of these settings is given, every client may connect.
pub(super) const CREDENTIALS: [usize; 3] = [
    row("AUTH_JWT_SECRET"),
    row("AUTH_JWT_SECRET_FILE"),
    row("APPS_FILE"),
];

impl EffectiveValues {
    /// Resolves every setting. The flag has precedence over the variable, the variable over the
    /// file, the file over the default. An overruled value is not checked; an empty variable counts
    /// as unset.
    pub(super) fn resolve(
        flags: Vec<Option<OsString>>,
        env: impl Fn(&str) -> Option<OsString>,
        faults: &mut SettingFaults,
    ) -> Self {
        let mut effective = EffectiveValues::empty();
        // The first row names the file.
        let mut file = SettingsFile::none();
        let mut emptied = Vec::new();
        for (at, (setting, flag)) in SETTINGS.iter().zip(flags).enumerate() {
            let mut variable = || {
                let text = env(setting.name)?;
                let is_empty = text.is_empty();
                if is_empty {
                    emptied.push(at);
                }
                (!is_empty).then_some(text)
            };
            let given = flag
                .map(|text| (text, ValueOrigin::Flag))
                .or_else(|| variable().map(|text| (text, ValueOrigin::Variable)));
            let entry = match given {
                Some((text, origin)) => EffectiveValue {
                    value: parse_given(setting, &text, origin, None, faults),
                    origin,
                    line: None,
                },
                None => effective.file_or_default_value(setting, file.entry(at), faults),
            };
            effective.values.push(entry);
            if at == const { row("CONFIG_FILE") } {
                file = effective.file(faults);
                effective.given_routes = std::mem::take(&mut file.routes);
            }
        }
        effective.resolve_routes(faults);
        check_renamed(&env, faults);
        for (secret, file) in SECRETS {
            effective.read_secret(secret, file, faults);
        }
        effective.read_apps(faults);
        effective.check_empty_credentials(&emptied, faults);
        effective.check_state_file(faults);
        effective.check_combinations(faults);
        effective
    }

    /// Returns values of no setting and no route.
    pub(super) fn empty() -> Self {
        EffectiveValues {
            values: Vec::with_capacity(SETTINGS.len()),
            given_routes: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// Resolves the routes; all settings are resolved.
    pub(super) fn resolve_routes(&mut self, faults: &mut SettingFaults) {
        let general = |name: &'static str| self.values[row(name)].value.clone();
        let given = self.given_routes.iter();
        self.routes = given
            .map(|route| RouteValues::resolve(route, &general, faults))
            .collect();
    }

    /// Reads the file with settings that `CONFIG_FILE` names.
    fn file(&self, faults: &mut SettingFaults) -> SettingsFile {
        let at = const { row("CONFIG_FILE") };
        match self.path(at) {
            Some(path) => {
                SettingsFile::read(&path, faults).unwrap_or_else(|Requirement(allowed)| {
                    faults.push(self.fault(at, allowed));
                    SettingsFile::unknown()
                })
            }
            None if self.is_absent(at) => SettingsFile::none(),
            None => SettingsFile::unknown(),
        }
    }

    /// Resolves a setting without a flag or variable; the rows before it in the table are resolved.
    fn file_or_default_value(
        &self,
        setting: &Setting,
        FileEntry { value, line }: &FileEntry,
        faults: &mut SettingFaults,
    ) -> EffectiveValue {
        let (origin, line) = (ValueOrigin::File, line.clone());
        let value = match value {
            FileValue::Absent => {
                return EffectiveValue {
                    value: self.default_value(setting),
                    origin: ValueOrigin::Default,
                    line: None,
                };
            }
            FileValue::Text(text) => {
                parse_given(setting, OsStr::new(text), origin, line.clone(), faults)
            }
            FileValue::WrongType(value_type) => {
                faults.push(SettingFault::WrongType {
                    name: setting.name,
                    line: line.clone(),
                    value_type,
                    allowed: setting.allowed(),
                });
                None
            }
            FileValue::Unknown => None,
        };
        EffectiveValue {
            value,
            origin,
            line,
        }
    }

    /// Returns the default of a setting; the rows before it in the table are resolved.
    pub(super) fn default_value(&self, setting: &Setting) -> Option<SettingValue> {
        match setting.default {
            Fallback::Value(text) => setting.kind.parse(text),
            Fallback::SameAs(name) => self.values[row(name)].value.clone(),
            Fallback::Derived(_) if setting.name == "MAX_PENDING_BYTES" => {
                let message = self.number(const { row("MAX_MESSAGE_BYTES") })?;
                Some(SettingValue::Number(PENDING_DEFAULT_MIN.max(2 * message)))
            }
            Fallback::Derived(_) if setting.name == "REPLAY_MAX_BYTES" => {
                let pending = self.number(const { row("MAX_PENDING_BYTES") })?;
                Some(SettingValue::Number(REPLAY_DEFAULT_MAX.min(pending / 2)))
            }
            Fallback::Derived(_) if setting.name == "DRAIN_MS" => {
                let drain = if self.serves_relay() { 1_000 } else { 30_000 };
                Some(SettingValue::Number(drain))
            }
            Fallback::Derived(_) if setting.name == "HEALTH_PATH" => {
                let path = match self.serves_relay() {
                    true => "/healthz",
                    false => "/.well-known/pulsegate/health",
                };
                Some(SettingValue::HttpPath(path.into()))
            }
            Fallback::Derived(_) | Fallback::Absent => Some(SettingValue::Absent),
        }
    }

    /// Returns whether the setting `UPSTREAM` makes a route.
    pub(super) fn has_upstream(&self) -> bool {
        !self.is_absent(const { row("UPSTREAM") })
    }

    /// Returns whether there is a service behind the gateway.
    pub(super) fn has_routes(&self) -> bool {
        self.has_upstream() || !self.given_routes.is_empty()
    }

    /// Returns whether the relay serves its paths: no route takes all of them.
    pub(super) fn serves_relay(&self) -> bool {
        !self.has_upstream() && !self.given_routes.iter().any(GivenRoute::is_catch_all)
    }

    /// Reads a secret from its file. If the secret is also given directly, that is the fault, and
    /// the file is not read.
    fn read_secret(&mut self, secret: usize, file: usize, faults: &mut SettingFaults) {
        let Some(path) = self.path(file) else { return };
        if self.has_value(secret) {
            return;
        }
        let read = regular_file::read(&path, SECRET_FILE_MAX).and_then(|content| {
            str::from_utf8(content.trim_ascii_end())
                .ok()
                .and_then(|text| SETTINGS[secret].kind.parse(text))
                .ok_or_else(|| Requirement(format!("a file that holds {}", SETTINGS[secret].kind)))
        });
        let value = read.map(|value| match value {
            SettingValue::Secret(secret) => SettingValue::SecretFile(path, secret),
            other => other,
        });
        self.set_content(file, value, faults);
    }

    /// Reads the apps from their file.
    fn read_apps(&mut self, faults: &mut SettingFaults) {
        let at = const { row("APPS_FILE") };
        let Some(path) = self.path(at) else { return };
        let read = regular_file::read(&path, APPS_FILE_MAX)
            .and_then(|content| AppRegistry::parse(&content).map_err(Requirement::from));
        self.set_content(
            at,
            read.map(|apps| SettingValue::AppsFile(path, apps)),
            faults,
        );
    }

    /// Refuses empty credentials: a placeholder that was not filled in must not open the gateway.
    /// (Any other empty variable counts as unset.)
    fn check_empty_credentials(&self, emptied: &[usize], faults: &mut SettingFaults) {
        let [secret, secret_file] = const { [row("AUTH_JWT_SECRET"), row("AUTH_JWT_SECRET_FILE")] };
        let [token, token_file] = const { [row("ADMIN_TOKEN"), row("ADMIN_TOKEN_FILE")] };
        let apps = const { row("APPS_FILE") };
        let no_secret = self.is_absent(secret) && self.is_absent(secret_file);
        let has_admin = matches!(
            self.values[const { row("ADMIN_ADDR") }].value,
            Some(SettingValue::Address(_))
        );
        let no_token = has_admin && self.is_absent(token) && self.is_absent(token_file);
        for at in emptied {
            let opens = no_secret
                && (*at == secret || *at == secret_file || (*at == apps && self.is_absent(apps)));
            if opens || (no_token && (*at == token || *at == token_file)) {
                let kind = SETTINGS[*at].kind;
                faults.push(SettingFault::Value {
                    name: SETTINGS[*at].name,
                    origin: ValueOrigin::Variable,
                    line: None,
                    value: String::new(),
                    mistake: None,
                    allowed: format!(
                        "{kind}, or not be set at all: an empty variable is probably a mistake"
                    ),
                });
            }
        }
    }

    /// Checks the place of the state file here, so that `--check` finds what the start would find.
    fn check_state_file(&mut self, faults: &mut SettingFaults) {
        let at = const { row("STATE_FILE") };
        let Some(path) = self.path(at) else { return };
        let target = kept_target(&path)
            .map_err(|e| Requirement(format!("a file that the gateway can replace: {e}")));
        let checked = target.and_then(|target| regular_file::check_creatable(&target));
        self.set_content(at, checked.map(|()| SettingValue::Path(path)), faults);
    }

    /// Stores the content of a setting's file, or reports the fault.
    fn set_content(
        &mut self,
        at: usize,
        found: Result<SettingValue, Requirement>,
        faults: &mut SettingFaults,
    ) {
        self.values[at].value = match found {
            Ok(value) => Some(value),
            Err(Requirement(allowed)) => {
                faults.push(self.fault(at, allowed));
                None
            }
        };
    }

    /// Returns every setting as `NAME=value # origin`. A shell can read this back to get the same
    /// settings, except for secrets.
    pub(super) fn print(&self) -> String {
        let mut text = String::new();
        for (at, (setting, entry)) in SETTINGS.iter().zip(&self.values).enumerate() {
            let value = shell_word(self.text(at));
            // If one of these were read back empty, it would count as not filled in.
            let is_secret = CREDENTIALS.contains(&at)
                || SECRETS
                    .iter()
                    .any(|(secret, file)| [*secret, *file].contains(&at));
            let mark = if is_secret && self.is_absent(at) {
                "#"
            } else {
                ""
            };
            let _ = write!(text, "{mark}{}={value} # {}", setting.name, entry.origin);
            // A fixed default needs no explanation: it is the value itself.
            if entry.origin == ValueOrigin::Default
                && !matches!(setting.default, Fallback::Value(_))
            {
                let _ = write!(text, ": {}", setting.default);
            }
            text.push('\n');
        }
        let routes = self.routes.iter();
        text.extend(routes.map(RouteValues::print));
        text
    }

    /// Returns every setting with its value in words, except settings that are only the defaults of
    /// others.
    pub(super) fn described(&self) -> impl Iterator<Item = (&'static Setting, String)> {
        let is_general = |name: &str| {
            SETTINGS
                .iter()
                .any(|s| matches!(s.default, Fallback::SameAs(general) if general == name))
        };
        SETTINGS
            .iter()
            .enumerate()
            .filter(move |(_, setting)| !is_general(setting.name))
            .map(|(at, setting)| (setting, self.describe(at)))
    }

    /// Returns the row in which the value of the row `at` was given.
    pub(super) fn source_row(&self, at: usize) -> usize {
        match (self.values[at].origin, SETTINGS[at].default) {
            (ValueOrigin::Default, Fallback::SameAs(name)) => row(name),
            _ => at,
        }
    }

    pub(super) fn fault(&self, at: usize, allowed: String) -> SettingFault {
        SettingFault::Value {
            name: SETTINGS[at].name,
            origin: self.values[at].origin,
            line: self.values[at].line.clone(),
            value: self.text(at),
            mistake: None,
            allowed,
        }
    }

    /// Returns the name of a setting with its value and origin, for the message about a fault of
    /// another setting.
    pub(super) fn cite(&self, at: usize) -> String {
        let EffectiveValue { origin, line, .. } = &self.values[at];
        let place = SettingPlace(*origin, line.as_ref());
        format!(
            "{}, which is {} ({place})",
            SETTINGS[at].name,
            self.text(at)
        )
    }

    /// Returns the value as it is written in a variable.
    pub(super) fn text(&self, at: usize) -> String {
        let value = self.values[at].value.as_ref();
        value.map(SettingValue::to_string).unwrap_or_default()
    }

    /// Returns the value, or words that say that there is no value.
    pub(super) fn describe(&self, at: usize) -> String {
        let text = self.text(at);
        if self.is_absent(at) {
            SETTINGS[at].default.to_string()
        } else if text.is_empty() {
            Fallback::Absent.to_string()
        } else {
            text
        }
    }

    /// Returns whether the setting has a valid value.
    pub(super) fn has_value(&self, at: usize) -> bool {
        self.values[at].value.is_some() && !self.is_absent(at)
    }

    /// Returns whether the setting surely has no value. With an invalid value, or a file that
    /// cannot be read, this is not known, and the result is `false`.
    pub(super) fn is_absent(&self, at: usize) -> bool {
        self.values[at].value == Some(SettingValue::Absent)
    }
}

/// Reports variables with the prefix that the settings of apps had before. Without it, a setting
/// that an operator relies on would silently return to its default.
fn check_renamed(env: &impl Fn(&str) -> Option<OsString>, faults: &mut SettingFaults) {
    for Setting { name, .. } in SETTINGS {
        let Some(rest) = name.strip_prefix("APP_") else {
            continue;
        };
        let old = format!("TPA_{rest}");
        if env(&old).is_some() {
            faults.push(SettingFault::RenamedVariable { old, name });
        }
    }
}

/// Parses the given value, or reports the fault.
fn parse_given(
    setting: &Setting,
    text: &OsStr,
    origin: ValueOrigin,
    line: Option<FileLine>,
    faults: &mut SettingFaults,
) -> Option<SettingValue> {
    let value = text.to_str().and_then(|text| setting.kind.parse(text));
    if value.is_none() {
        let text = text.to_string_lossy();
        faults.push(SettingFault::Value {
            name: setting.name,
            origin,
            line,
            mistake: find_mistake(setting.kind, &text),
            value: match (setting.kind, origin) {
                (ValueKind::Secret { .. } | ValueKind::SecretUrl, _) => Secret::HIDDEN.to_owned(),
                (_, ValueOrigin::File) => excerpt(&text),
                (_, ValueOrigin::Default | ValueOrigin::Variable | ValueOrigin::Flag) => {
                    text.into_owned()
                }
            },
            allowed: setting.allowed(),
        });
    }
    value
}

/// Quotes a word only if a shell would change it: a path may contain any character.
fn shell_word(text: String) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._-+:@%,/[]*".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
