//! Frames that glasses and apps send.

use super::fields::{Malformed, OTHER_PACKAGE, parse};
use super::init::Init;
use super::subscription_list::SubscriptionUpdate;
use crate::base::json_fields::{BoundedStr, Object, set_once};
use crate::host::NAME_MAX;
use crate::relay::subscriptions::{STREAM_MAX, Subscriptions};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A frame from glasses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GlassesFrame<'a> {
    /// `connection_init`: asks for another acknowledgement.
    Init,
    /// `start_app`, with its package.
    StartApp(Box<str>),
    /// `stop_app`, with its package.
    StopApp(Box<str>),
    /// `ping`.
    Ping,
    /// Any other frame, for the apps that subscribed to its type, given here.
    Data(Cow<'a, str>),
}

/// A frame from an app.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AppFrame<'a> {
    /// `tpa_connection_init`: the app introduces itself.
    Init(Init),
    /// `subscription_update`: all streams that the app wants from now on.
    Subscribe(Subscriptions),
    /// `ownership_release`: the app leaves on purpose.
    Release,
    /// `ping`.
    Ping,
    /// Any other frame, for the glasses, with its type.
    Request(Cow<'a, str>),
}

#[derive(Deserialize)]
pub(super) struct FrameType<'a> {
    #[serde(borrow, rename = "type")]
    kind: BoundedStr<'a, STREAM_MAX>,
}

impl<'a> GlassesFrame<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct PackageField<'a> {
            #[serde(borrow, rename = "packageName")]
            package: BoundedStr<'a, NAME_MAX>,
        }
        let package = |text| Ok(parse::<PackageField<'_>>(text)?.package.0.into());
        let kind = parse::<Object<FrameType<'_>>>(text)?.0.kind.0;
        Ok(match &*kind {
            "connection_init" => GlassesFrame::Init,
            "start_app" => GlassesFrame::StartApp(package(text)?),
            "stop_app" => GlassesFrame::StopApp(package(text)?),
            "ping" => GlassesFrame::Ping,
            _ => GlassesFrame::Data(kind),
        })
    }
}

impl<'a> AppFrame<'a> {
    /// Parses a frame of the app of this package. A frame that names another package is malformed.
    pub(crate) fn parse(text: &'a str, package: &str) -> Result<Self, Malformed> {
        let frame = parse::<AppFrameFields<'_>>(text)?;
        if frame.package.is_some_and(|named| *named != *package) {
            return Err(Malformed(OTHER_PACKAGE.to_owned()));
        }
        Ok(match (&*frame.kind, frame.subscriptions) {
            ("tpa_connection_init", _) => AppFrame::Init(parse(text)?),
            ("subscription_update", Some(subscriptions)) => AppFrame::Subscribe(subscriptions),
            ("subscription_update", None) => {
                AppFrame::Subscribe(parse::<SubscriptionUpdate>(text)?.subscriptions)
            }
            ("ownership_release", _) => AppFrame::Release,
            ("ping", _) => AppFrame::Ping,
            _ => AppFrame::Request(frame.kind),
        })
    }
}

/// The fields of an app's frame that routing needs.
pub(super) struct AppFrameFields<'a> {
    kind: Cow<'a, str>,
    /// `packageName`, if it is present and not null.
    package: Option<Cow<'a, str>>,
    /// The list of a `subscription_update`, if it follows the type, as it does in the SDK's frames.
    subscriptions: Option<Subscriptions>,
}

impl<'de> Deserialize<'de> for AppFrameFields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "camelCase")]
        enum Field {
            Type,
            PackageName,
            Subscriptions,
            #[serde(other)]
            Other,
        }
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = AppFrameFields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object with a type")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut kind, mut package, mut subscriptions) = (None, None, None);
                while let Some(field) = map.next_key()? {
                    match field {
                        Field::Type => {
                            let BoundedStr::<STREAM_MAX>(value) = map.next_value()?;
                            set_once(&mut kind, "type", value)?;
                        }
                        Field::PackageName => {
                            let value: Option<BoundedStr<'_, NAME_MAX>> = map.next_value()?;
                            set_once(&mut package, "packageName", value.map(|name| name.0))?;
                        }
                        Field::Subscriptions if kind.as_deref() == Some("subscription_update") => {
                            set_once(&mut subscriptions, "subscriptions", map.next_value()?)?;
                        }
                        Field::Subscriptions | Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(AppFrameFields {
                    kind: kind.ok_or_else(|| A::Error::missing_field("type"))?,
                    package: package.flatten(),
                    subscriptions,
                })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// Returns whether only the gateway may send this type to glasses or apps. An app that sends it
/// forges it. For example, `auth_error` makes some glasses leave for good, and
/// `microphone_state_change` turns their microphone on.
pub(crate) fn is_reserved(kind: &str) -> bool {
    RESERVED.binary_search(&kind).is_ok()
}

/// The types that only the gateway sends, sorted. Requests of apps to glasses (`display_event`,
/// `photo_request`, `audio_play_request`, …) and frames that the apps' own cloud serves
/// (`app_broadcast_message`, …) are not among them.
pub(super) const RESERVED: [&str; 32] = [
    "app_message_received",
    "app_started",
    "app_state_change",
    "app_stopped",
    "app_user_joined",
    "app_user_left",
    "audio_play_response",
    "augmentos_settings_update",
    "auth_error",
    "capabilities_update",
    "connection_ack",
    "connection_error",
    "custom_message",
    "dashboard_always_on_changed",
    "dashboard_mode_changed",
    "data_stream",
    "device_state_update",
    "managed_stream_status",
    "microphone_state_change",
    "permission_error",
    "photo_response",
    "pong",
    "reconnect",
    "reconnect_ack",
    "reconnect_deferred",
    "reconnect_rejected",
    "rtmp_stream_status",
    "set_location_tier",
    "settings_update",
    "stream_status_check_response",
    "tpa_connection_ack",
    "tpa_connection_error",
];
