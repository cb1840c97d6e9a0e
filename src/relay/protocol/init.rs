//! The introduction of an app: its first message.

use super::fields::{Malformed, NEWER_SDK, NO_INIT, parse};
use crate::base::json_fields::{BoundedStr, set_once};
use crate::host::{KEY_MAX, NAME_MAX};
use crate::relay::subscriptions::STREAM_MAX;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// An app's introduction. With a newer SDK the fields that it lacks are in the headers of the
/// request.
#[derive(PartialEq, Eq)]
pub(crate) struct Init {
    /// Whether the message is `reconnect`: the app was acknowledged on an earlier connection.
    pub(crate) is_reconnect: bool,
    session_id: Option<String>,
    pub(crate) package_name: Option<String>,
    pub(crate) api_key: Option<String>,
    /// Whether the message has an `sdkVersion` of 3 or newer.
    pub(crate) has_newer_sdk: bool,
}

/// Omits the API key from debug output.
impl fmt::Debug for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Init");
        shown.field("reconnect", &self.is_reconnect);
        shown.field("session_id", &self.session_id);
        shown.field("package_name", &self.package_name);
        shown.finish_non_exhaustive()
    }
}

impl Init {
    /// Returns whether the message names the app's session.
    pub(crate) fn has_session(&self) -> bool {
        self.session_id.is_some()
    }

    /// Returns the user. The session id is `<user>-<package>`, and both parts may contain hyphens.
    pub(crate) fn user(&self, package: &str) -> Option<&str> {
        user_of(self.session_id.as_deref()?, package)
    }

    /// Parses the first message of an app. A message of another type is rejected as soon as its
    /// type is read, and only the fields of the introduction are read.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        parse(text)
    }
}

/// Returns the user in a session id of this package.
pub(crate) fn user_of<'a>(session: &'a str, package: &str) -> Option<&'a str> {
    let user = session.strip_suffix(package)?.strip_suffix('-');
    user.filter(|user| !user.is_empty())
}

impl<'de> Deserialize<'de> for Init {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "camelCase")]
        enum Field {
            Type,
            SessionId,
            PackageName,
            ApiKey,
            SdkVersion,
            #[serde(other)]
            Other,
        }
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Init;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tpa_connection_init")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Init, A::Error> {
                let (mut kind, mut session, mut package, mut key) = (None, None, None, None);
                let mut newer = None;
                while let Some(field) = map.next_key()? {
                    match field {
                        Field::Type => {
                            let BoundedStr::<STREAM_MAX>(value) = map.next_value()?;
                            let reconnect = value == "reconnect";
                            if !reconnect && value != "tpa_connection_init" {
                                return Err(A::Error::custom(NO_INIT));
                            }
                            set_once(&mut kind, "type", reconnect)?;
                        }
                        Field::SessionId => {
                            let value: BoundedStr<'_, { 2 * NAME_MAX + 1 }> = map.next_value()?;
                            set_once(&mut session, "sessionId", value.0.into_owned())?;
                        }
                        Field::PackageName => {
                            let value: BoundedStr<'_, NAME_MAX> = map.next_value()?;
                            set_once(&mut package, "packageName", value.0.into_owned())?;
                        }
                        Field::ApiKey => {
                            let value: BoundedStr<'_, KEY_MAX> = map.next_value()?;
                            set_once(&mut key, "apiKey", value.0.into_owned())?;
                        }
                        Field::SdkVersion => {
                            let value: BoundedStr<'_, NAME_MAX> = map.next_value()?;
                            let major = value.0.split('.').next();
                            let major = major.and_then(|major| major.parse::<u32>().ok());
                            let has_newer_sdk = major.is_some_and(|major| major >= NEWER_SDK);
                            set_once(&mut newer, "sdkVersion", has_newer_sdk)?;
                        }
                        Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Init {
                    is_reconnect: kind.ok_or_else(|| A::Error::missing_field("type"))?,
                    session_id: session,
                    package_name: package,
                    api_key: key,
                    has_newer_sdk: newer.unwrap_or_default(),
                })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}
