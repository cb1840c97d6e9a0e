//! The apps that may connect: the content of `APPS_FILE`.

use super::post_signer::PostSigner;
use super::url::is_url;
use crate::host::names::{KEY_MAX, NAME_MAX};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The most apps that one gateway knows.
pub const APPS_MAX: usize = 10_000;

/// The most types that `may_send` names.
const TYPES_MAX: usize = 64;

/// The most faults that are described one by one.
const FAULTS_MAX: usize = 20;

/// The apps by package, cheap to share. Keys are not stored, only their hashes and the signers made
/// from them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AppRegistry(Arc<HashMap<Box<str>, RegisteredApp>>);

/// Why a text is not a valid list of apps. The file is at fault; the previous list stays in force.
///
/// The text continues the phrase "must be", on one line. Apps are named by their positions, counted
/// from 1. Nothing from the file is repeated, because it may be a key in the wrong field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppRegistryError {
    /// The text is not JSON.
    #[error("a file in JSON, which line {line}, column {column} is not")]
    NotJson {
        /// The line that could not be read, counted from 1.
        line: usize,
        /// The column in that line; 0 is before the first.
        column: usize,
    },
    /// The text is JSON, but not an array.
    #[error("a JSON array of apps")]
    NotAList,
    /// The array has more than [`APPS_MAX`] apps.
    #[error("a list of at most {APPS_MAX} apps")]
    TooMany,
    /// Some apps have faults.
    #[error("a list of apps without faults: {text}")]
    Faulty {
        /// The number of faults.
        count: usize,
        /// Descriptions of the first faults.
        text: String,
    },
}

struct RegisteredApp {
    /// SHA-256 of the app's key. All hashes have one length, so the time of a comparison does not
    /// reveal the length of the key.
    key: [u8; 32],
    /// Signs webhooks with the app's key.
    signer: PostSigner,
    webhook: Option<Box<str>>,
    /// The types of frames that it may send; `None`: all types that are not reserved for the
    /// gateway.
    may_send: Option<Box<[Box<str>]>>,
}

impl PartialEq for RegisteredApp {
    fn eq(&self, other: &Self) -> bool {
        // The signer is derived from the key.
        (self.key, &self.webhook, &self.may_send) == (other.key, &other.webhook, &other.may_send)
    }
}

impl Eq for RegisteredApp {}

impl fmt::Debug for AppRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} apps", self.0.len())
    }
}

impl AppRegistry {
    /// Reads a JSON array of apps:
    /// `{"package": …, "api_key": …, "webhook_url": …, "may_send": […]}`, the last two optional.
    ///
    /// # Errors
    /// [`AppRegistryError`] with everything that is wrong.
    pub fn parse(json: &[u8]) -> Result<AppRegistry, AppRegistryError> {
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let entries: Vec<AppEntry> = serde_json::from_slice(json).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            match e.classify() {
                serde_json::error::Category::Data => AppRegistryError::NotAList,
                serde_json::error::Category::Io
                | serde_json::error::Category::Syntax
                | serde_json::error::Category::Eof => AppRegistryError::NotJson { line, column },
            }
        })?;
        if entries.len() > APPS_MAX {
            return Err(AppRegistryError::TooMany);
        }
        let mut faults = FaultList::default();
        let mut apps = HashMap::with_capacity(entries.len());
        // The position of each package in the list.
        let mut places: HashMap<Box<str>, usize> = HashMap::with_capacity(entries.len());
        for (place, entry) in (1..).zip(entries) {
            let Some((package, app)) = entry.check(place, &mut faults) else {
                continue;
            };
            match places.get(&package) {
                Some(first) => {
                    faults.push(place, format!("package is the same as that of app {first}"))
                }
                None => {
                    places.insert(package.clone(), place);
                    apps.insert(package, app);
                }
            }
        }
        faults.into_result()?;
        Ok(AppRegistry(Arc::new(apps)))
    }

    /// Returns the number of apps.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the list is empty: then no app is admitted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, package: &str) -> bool {
        self.0.contains_key(package)
    }

    /// Returns whether any app of the list has a webhook over `https`.
    pub fn has_https_webhook(&self) -> bool {
        let is_https = |url: &str| {
            let scheme = url.split(':').next();
            scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
        };
        let mut webhooks = self.0.values().filter_map(|app| app.webhook.as_deref());
        webhooks.any(is_https)
    }

    pub(crate) fn webhook_url(&self, package: &str) -> Option<&str> {
        self.0.get(package)?.webhook.as_deref()
    }

    pub(crate) fn may_send(&self, package: &str, kind: &str) -> bool {
        let app = self.0.get(package);
        let allowed = app.and_then(|app| app.may_send.as_ref());
        allowed.is_none_or(|types| types.iter().any(|allowed| **allowed == *kind))
    }

    /// Returns the signature of a webhook of a package, with the package's key
    /// ([`PostSigner::sign`]). `None`: there is no such app.
    pub fn sign(&self, package: &str, at: u64, body: &[u8]) -> Option<String> {
        Some(self.0.get(package)?.signer.sign(at, body))
    }

    /// Returns the hash of the package's key.
    pub(crate) fn key_hash(&self, package: &str) -> Option<[u8; 32]> {
        self.0.get(package).map(|app| app.key)
    }

    /// Returns whether this is the package's key. The time that it takes depends only on the length
    /// of the given key.
    pub(crate) fn is_key(&self, package: &str, key: &str) -> bool {
        let app = self.0.get(package);
        // An unknown package is compared with a dummy hash, whose result does not count.
        let right = app.map_or([0; 32], |app| app.key);
        let is_right = bool::from(right.ct_eq(&digest(key)));
        is_right & app.is_some()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// One element of the array, not yet checked.
enum AppEntry {
    App(Vec<(String, Value)>),
    Other,
}

impl AppEntry {
    fn check(self, place: usize, faults: &mut FaultList) -> Option<(Box<str>, RegisteredApp)> {
        let AppEntry::App(fields) = self else {
            faults.push(place, "is no object");
            return None;
        };
        let [mut package, mut key, mut webhook, mut types] = [const { None }; 4];
        for (name, value) in fields {
            let field = match name.as_str() {
                "package" => &mut package,
                "api_key" => &mut key,
                "webhook_url" => &mut webhook,
                "may_send" => &mut types,
                _ => {
                    let why = "has a field other than package, api_key, webhook_url and may_send";
                    faults.push(place, why);
                    continue;
                }
            };
            if field.replace(value).is_some() {
                faults.push(place, "has a field twice");
            }
        }
        let package = text(package).filter(|package| {
            (1..=NAME_MAX).contains(&package.len()) && !package.contains(char::is_control)
        });
        if package.is_none() {
            let why = "package is not a string of 1 to 256 bytes without control characters";
            faults.push(place, why);
        }
        let key = text(key)
            .filter(|key| (1..=KEY_MAX).contains(&key.len()) && !key.contains(char::is_control));
        if key.is_none() {
            let why = "api_key is not a string of 1 to 512 bytes without control characters";
            faults.push(place, why);
        }
        let is_given = !matches!(webhook, None | Some(Value::Null));
        let webhook = text(webhook).filter(|url| is_url(url, &["http", "https"]));
        if is_given && webhook.is_none() {
            let why = "webhook_url is not a URL with http:// or https:// and a host, without a \
                       user name";
            faults.push(place, why);
        }
        let is_limited = !matches!(types, None | Some(Value::Null));
        let may_send = names(types);
        if is_limited && may_send.is_none() {
            let why = "may_send is not an array of at most 64 types of 1 to 256 bytes";
            faults.push(place, why);
        }
        let key = key?;
        let app = RegisteredApp {
            key: digest(&key),
            signer: PostSigner::new(&key),
            webhook: webhook.map(Into::into),
            may_send,
        };
        Some((package?.into(), app))
    }
}

/// Reads a list of frame types.
fn names(value: Option<Value>) -> Option<Box<[Box<str>]>> {
    let Some(Value::Array(values)) = value else {
        return None;
    };
    let is_name = |name: &String| (1..=NAME_MAX).contains(&name.len());
    let names = values.into_iter().take(TYPES_MAX + 1);
    let names = names.map(|value| text(Some(value)).filter(is_name).map(Into::into));
    let names: Box<[Box<str>]> = names.collect::<Option<_>>()?;
    (names.len() <= TYPES_MAX).then_some(names)
}

fn text(value: Option<Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

/// Keeps the fields of an object in order, so that duplicates are detected. Accepts any other value
/// too, so that the rest of the array is still checked.
impl<'de> Deserialize<'de> for AppEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = AppEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an app")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AppEntry, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(AppEntry::App(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<AppEntry, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(AppEntry::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<AppEntry, E> {
                Ok(AppEntry::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<AppEntry, E> {
                Ok(AppEntry::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<AppEntry, E> {
                Ok(AppEntry::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<AppEntry, E> {
                Ok(AppEntry::Other)
            }

            fn visit_str<E>(self, _: &str) -> Result<AppEntry, E> {
                Ok(AppEntry::Other)
            }

            fn visit_unit<E>(self) -> Result<AppEntry, E> {
                Ok(AppEntry::Other)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// Collects the faults, app by app.
#[derive(Default)]
struct FaultList {
    text: String,
    count: usize,
}

impl FaultList {
    fn push(&mut self, place: usize, why: impl fmt::Display) {
        self.count += 1;
        if self.count <= FAULTS_MAX {
            let then = if self.count > 1 { ", " } else { "" };
            let _ = write!(self.text, "{then}app {place}: {why}");
        }
    }

    fn into_result(mut self) -> Result<(), AppRegistryError> {
        if let more @ 1.. = self.count.saturating_sub(FAULTS_MAX) {
            let _ = write!(self.text, ", and {more} more");
        }
        match self.count {
            0 => Ok(()),
            count => Err(AppRegistryError::Faulty {
                count,
                text: self.text,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
