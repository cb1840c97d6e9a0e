//! The JSON that clients send and are sent (text frames, an object with a `type`), understood as far as routing needs it. What is
//! sent on is not encoded anew.

use super::auth::iso;
use super::subscriptions::{STREAM_MAX, SUBSCRIPTIONS_MAX, Subscriptions};
use super::{KEY_MAX, NAME_MAX};
use crate::time::UnixMillis;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::borrow::Cow;
use std::fmt::{self, Write};

/// The answer to a JSON ping.
pub(super) const PONG: &str = r#"{"type":"pong"}"#;

/// What glasses say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FromGlasses<'a> {
    /// `connection_init`: another acknowledgement, please.
    Init,
    /// `start_app`, with its package.
    StartApp(Box<str>),
    /// `stop_app`, with its package.
    StopApp(Box<str>),
    /// `ping`.
    Ping,
    /// Something for whoever subscribed to it: its type.
    Data(Cow<'a, str>),
}

/// What an app says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FromApp<'a> {
    /// `tpa_connection_init`: who it is.
    Init(Init),
    /// `subscription_update`: all that it wants from now on.
    Subscribe(Subscriptions),
    /// `ownership_release`: it leaves on purpose.
    Release,
    /// `ping`.
    Ping,
    /// Something for the glasses: its type.
    Request(Cow<'a, str>),
}

/// An app's introduction. What it lacks stands in the headers of its request, if its SDK is a newer one.
#[derive(PartialEq, Eq)]
pub(super) struct Init {
    /// It is `reconnect`: the app had been acknowledged on an earlier connection.
    pub(super) reconnect: bool,
    session_id: Option<String>,
    pub(super) package_name: Option<String>,
    pub(super) api_key: Option<String>,
    /// Its `sdkVersion` is 3 or newer.
    pub(super) is_newer: bool,
}

/// The key is not shown.
impl fmt::Debug for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Init");
        shown.field("reconnect", &self.reconnect);
        shown.field("session_id", &self.session_id);
        shown.field("package_name", &self.package_name);
        shown.finish_non_exhaustive()
    }
}

impl Init {
    /// Returns whether it names its session.
    pub(super) fn has_session(&self) -> bool {
        self.session_id.is_some()
    }

    /// The user: the session id is `<user>-<package>`, and both may have hyphens.
    pub(super) fn user(&self, package: &str) -> Option<&str> {
        user_of(self.session_id.as_deref()?, package)
    }

    /// The first message of an app. A message of another type is given up as soon as its type is read, and no field is
    /// taken that the introduction does not need.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        parse(text)
    }
}

/// The user of a session id of this package.
pub(super) fn user_of<'a>(session: &'a str, package: &str) -> Option<&'a str> {
    let user = session.strip_suffix(package)?.strip_suffix('-');
    user.filter(|user| !user.is_empty())
}

/// Why a frame is not understood, for whoever sent it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) String);

impl Malformed {
    /// Returns whether a name, key or list is beyond its limit.
    pub(super) fn is_limit(&self) -> bool {
        [TOO_LONG, TOO_MANY].contains(&&*self.0)
    }
}

/// What [`Bounded`] says of a string that is too long.
const TOO_LONG: &str = "a name or a key is too long";
const TOO_MANY: &str = "more than 256 subscriptions";
const _: () = assert!(SUBSCRIPTIONS_MAX == 256);
/// The major version of the SDK from which on its apps come back whatever code they are closed with.
const NEWER: u32 = 3;

/// What [`Init`] says of a message that is none.
pub(super) const NO_INIT: &str = "the first message must be tpa_connection_init";
const OTHER_PACKAGE: &str = "packageName is not this connection's";

/// A string of at most `MOST` bytes as decoded. A longer one is refused before it is copied.
struct Bounded<'a, const MOST: usize>(Cow<'a, str>);

impl<'de: 'a, 'a, const MOST: usize> Deserialize<'de> for Bounded<'a, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Short<const MOST: usize>;

        impl<'de, const MOST: usize> Visitor<'de> for Short<MOST> {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                check(text, MOST)?;
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                check(text, MOST)?;
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        deserializer.deserialize_str(Short::<MOST>).map(Bounded)
    }
}

fn check<E: Error>(text: &str, most: usize) -> Result<(), E> {
    if text.len() > most {
        return Err(E::custom(TOO_LONG));
    }
    Ok(())
}

/// Puts a field into its place; a field that stands twice is a fault.
fn set<T, E: Error>(field: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Bounded<'a, STREAM_MAX>,
}

impl<'a> FromGlasses<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct App<'a> {
            #[serde(borrow, rename = "packageName")]
            package: Bounded<'a, NAME_MAX>,
        }
        let package = |text| Ok(parse::<App<'_>>(text)?.package.0.into());
        let kind = parse::<Head<'_>>(text)?.kind.0;
        Ok(match &*kind {
            "connection_init" => FromGlasses::Init,
            "start_app" => FromGlasses::StartApp(package(text)?),
            "stop_app" => FromGlasses::StopApp(package(text)?),
            "ping" => FromGlasses::Ping,
            _ => FromGlasses::Data(kind),
        })
    }
}

impl<'a> FromApp<'a> {
    /// A frame of the app of this package. A frame that names another one is malformed.
    pub(super) fn parse(text: &'a str, package: &str) -> Result<Self, Malformed> {
        let frame = parse::<Frame<'_>>(text)?;
        if frame.package.is_some_and(|named| *named != *package) {
            return Err(Malformed(OTHER_PACKAGE.to_owned()));
        }
        Ok(match (&*frame.kind, frame.subscriptions) {
            ("tpa_connection_init", _) => FromApp::Init(parse(text)?),
            ("subscription_update", Some(subscriptions)) => FromApp::Subscribe(subscriptions),
            ("subscription_update", None) => {
                FromApp::Subscribe(parse::<Update>(text)?.subscriptions)
            }
            ("ownership_release", _) => FromApp::Release,
            ("ping", _) => FromApp::Ping,
            _ => FromApp::Request(frame.kind),
        })
    }
}

/// The whole text is looked at: what is put into another frame must be whole JSON.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    // A key may stand in it, and nothing of it in the message.
    serde_json::from_str(text).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        Malformed(match e.classify() {
            serde_json::error::Category::Data => {
                let told = e.to_string();
                let ours = [TOO_LONG, TOO_MANY, NO_INIT].into_iter();
                match ours.into_iter().find(|ours| told.starts_with(ours)) {
                    Some(ours) => ours.to_owned(),
                    None => format!(
                        "a field is missing or of the wrong type (line {line}, column {column})"
                    ),
                }
            }
            _ => format!("not JSON (line {line}, column {column})"),
        })
    })
}

/// What routing needs of an app's frame.
struct Frame<'a> {
    kind: Cow<'a, str>,
    /// `packageName`, if it is there and not null.
    package: Option<Cow<'a, str>>,
    /// Of a `subscription_update` whose list stands behind its type, as it does in the SDK's.
    subscriptions: Option<Subscriptions>,
}

impl<'de> Deserialize<'de> for Frame<'de> {
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
            type Value = Frame<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a type")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut kind, mut package, mut subscriptions) = (None, None, None);
                while let Some(field) = map.next_key()? {
                    match field {
                        Field::Type => {
                            let Bounded::<STREAM_MAX>(value) = map.next_value()?;
                            set(&mut kind, "type", value)?;
                        }
                        Field::PackageName => {
                            let value: Option<Bounded<'_, NAME_MAX>> = map.next_value()?;
                            set(&mut package, "packageName", value.map(|name| name.0))?;
                        }
                        Field::Subscriptions if kind.as_deref() == Some("subscription_update") => {
                            set(&mut subscriptions, "subscriptions", map.next_value()?)?;
                        }
                        Field::Subscriptions | Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Frame {
                    kind: kind.ok_or_else(|| A::Error::missing_field("type"))?,
                    package: package.flatten(),
                    subscriptions,
                })
            }
        }

        deserializer.deserialize_map(Fields)
    }
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
                            let Bounded::<STREAM_MAX>(value) = map.next_value()?;
                            let reconnect = value == "reconnect";
                            if !reconnect && value != "tpa_connection_init" {
                                return Err(A::Error::custom(NO_INIT));
                            }
                            set(&mut kind, "type", reconnect)?;
                        }
                        Field::SessionId => {
                            let value: Bounded<'_, { 2 * NAME_MAX + 1 }> = map.next_value()?;
                            set(&mut session, "sessionId", value.0.into_owned())?;
                        }
                        Field::PackageName => {
                            let value: Bounded<'_, NAME_MAX> = map.next_value()?;
                            set(&mut package, "packageName", value.0.into_owned())?;
                        }
                        Field::ApiKey => {
                            let value: Bounded<'_, KEY_MAX> = map.next_value()?;
                            set(&mut key, "apiKey", value.0.into_owned())?;
                        }
                        Field::SdkVersion => {
                            let value: Bounded<'_, NAME_MAX> = map.next_value()?;
                            let major = value.0.split('.').next();
                            let major = major.and_then(|major| major.parse::<u32>().ok());
                            let is_newer = major.is_some_and(|major| major >= NEWER);
                            set(&mut newer, "sdkVersion", is_newer)?;
                        }
                        Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Init {
                    reconnect: kind.ok_or_else(|| A::Error::missing_field("type"))?,
                    session_id: session,
                    package_name: package,
                    api_key: key,
                    is_newer: newer.unwrap_or_default(),
                })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[derive(Deserialize)]
struct Update {
    subscriptions: Subscriptions,
}

impl<'de> Deserialize<'de> for Subscriptions {
    /// Stops at the first name that is one too many or too long: what is read of a list is bounded, however long it is.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Subscriptions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of subscriptions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut names: Vec<Cow<'de, str>> = Vec::new();
                while let Some(name) = seq.next_element_seed(Item)? {
                    if names.len() == SUBSCRIPTIONS_MAX {
                        return Err(A::Error::custom(TOO_MANY));
                    }
                    names.push(name);
                }
                Ok(Subscriptions::new(names.iter().map(|name| stream_of(name))))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// One subscription: a name, or an object whose `stream` is the name.
struct Item;

impl<'de> DeserializeSeed<'de> for Item {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stream")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        check(name, STREAM_MAX)?;
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        check(name, STREAM_MAX)?;
        Ok(Cow::Owned(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct With<'a> {
            #[serde(borrow)]
            stream: Bounded<'a, STREAM_MAX>,
        }
        let with = With::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(with.stream.0)
    }
}

/// The stream that a type, or a subscription, stands for: the SDK knows transcriptions by their language only.
pub(super) fn stream_of(kind: &str) -> &str {
    match kind {
        "transcription" => "transcription:en-US",
        other => other,
    }
}

/// Returns whether only the gateway says this to glasses or apps. From an app it would be a forgery: `auth_error`, for one,
/// makes some glasses leave for good, and `microphone_state_change` turns their microphone on.
pub(super) fn is_reserved(kind: &str) -> bool {
    RESERVED.binary_search(&kind).is_ok()
}

/// The gateway's own words, sorted. What apps ask of glasses (`display_event`, `photo_request`, `audio_play_request`, …) and
/// what their cloud serves (`app_broadcast_message`, …) is not among them.
const RESERVED: [&str; 32] = [
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

/// A string as JSON, in its quotes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

fn now() -> String {
    iso(UnixMillis::now())
}

/// The beginning of a frame of the glasses as it goes to every app that subscribed; the frame itself, which must be whole JSON and
/// has `len` bytes, and [`DATA_END`] follow.
pub(super) fn data_stream(session: &str, stream: &str, len: usize) -> String {
    // It may be kept as it is: no more is allocated than it needs.
    let mut text = String::with_capacity(len + session.len() + stream.len() + ENVELOPE);
    // Writing into a String does not fail.
    let _ = write!(
        text,
        r#"{{"type":"data_stream","sessionId":{},"streamType":{},"timestamp":"{}","data":"#,
        Quoted(session),
        Quoted(stream),
        now()
    );
    text
}

/// The end of a `data_stream`.
pub(super) const DATA_END: char = '}';

/// Bytes of a `data_stream` besides its frame and its names.
const ENVELOPE: usize = 128;

/// What glasses are told when they are in.
pub(super) fn connection_ack(session: &str) -> String {
    let session = Quoted(session);
    format!(
        r#"{{"type":"connection_ack","sessionId":{session},"timestamp":"{}"}}"#,
        now()
    )
}

/// What an app is told when it is in: all that the SDK asks for.
pub(super) fn app_ack(user: &str, package: &str) -> String {
    ack("tpa_connection_ack", user, package)
}

/// The same as the answer to `reconnect`.
pub(super) fn reconnect_ack(user: &str, package: &str) -> String {
    ack("reconnect_ack", user, package)
}

fn ack(kind: &str, user: &str, package: &str) -> String {
    format!(
        r#"{{"type":"{kind}","sessionId":{},"settings":[],"mentraosSettings":{{}},"capabilities":null,"timestamp":"{}"}}"#,
        Quoted(&format!("{user}-{package}")),
        now()
    )
}

/// What an app that said `reconnect` is told while its glasses are waited for: for how long still.
pub(super) fn reconnect_deferred(timeout_ms: u64) -> String {
    format!(
        r#"{{"type":"reconnect_deferred","timeoutMs":{timeout_ms},"timestamp":"{}"}}"#,
        now()
    )
}

/// What an app that said `reconnect` is told that is not let in by that.
pub(super) fn reconnect_rejected(code: &str, message: &str) -> String {
    error("reconnect_rejected", code, message)
}

/// What an app is told before it is closed, or when it is not understood.
pub(super) fn app_error(code: &str, message: &str) -> String {
    error("tpa_connection_error", code, message)
}

/// The same for glasses.
pub(super) fn glasses_error(code: &str, message: &str) -> String {
    error("connection_error", code, message)
}

fn error(kind: &str, code: &str, message: &str) -> String {
    format!(
        r#"{{"type":"{kind}","code":"{code}","message":{},"timestamp":"{}"}}"#,
        Quoted(message),
        now()
    )
}

/// What glasses are told of an app: `app_started`, `app_stopped`, each with a reason if there is one.
pub(super) fn app_news(kind: &str, package: &str, reason: Option<&str>) -> String {
    let reason = reason.map_or_else(String::new, |reason| {
        format!(r#","reason":{}"#, Quoted(reason))
    });
    format!(
        r#"{{"type":"{kind}","packageName":{}{reason},"timestamp":"{}"}}"#,
        Quoted(package),
        now()
    )
}

/// What glasses are told when an app's state has changed.
pub(super) fn app_state_change(package: &str, state: &str) -> String {
    format!(
        r#"{{"type":"app_state_change","packageName":{},"state":"{state}","timestamp":"{}"}}"#,
        Quoted(package),
        now()
    )
}

/// What an app is told before it is closed for good.
pub(super) fn app_stopped(reason: &str) -> String {
    format!(
        r#"{{"type":"app_stopped","reason":{},"timestamp":"{}"}}"#,
        Quoted(reason),
        now()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::mutation::mutated;

    fn whole_data_stream(session: &str, stream: &str, frame: &str) -> String {
        let mut text = data_stream(session, stream, frame.len());
        text.push_str(frame);
        text.push(DATA_END);
        text
    }

    fn json(text: &str) -> serde_json::Value {
        serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    #[test]
    fn users_and_packages_may_have_hyphens() {
        for (session, package, user) in [
            ("a@b.c-com.x", "com.x", Some("a@b.c")),
            (
                "anna-lena@ex-ample.org-com.my-app",
                "com.my-app",
                Some("anna-lena@ex-ample.org"),
            ),
            ("com.x", "com.x", None),
            ("-com.x", "com.x", None),
            ("a@b.ccom.x", "com.x", None),
            ("a@b.c-com.y", "com.x", None),
            ("a", "", None),
        ] {
            let text = format!(
                r#"{{"type":"tpa_connection_init","sessionId":"{session}","packageName":"{package}","apiKey":"k"}}"#
            );
            let Ok(FromApp::Init(init)) = FromApp::parse(&text, package) else {
                panic!("{text}");
            };
            assert_eq!(Init::parse(&text).as_ref(), Ok(&init));
            assert_eq!(init.user(package), user, "{text}");
            assert!(!format!("{init:?}").contains("\"k\""));
        }
    }

    #[test]
    fn what_glasses_say() {
        let data = FromGlasses::parse(r#"{"type":"button_press","buttonId":"a"}"#);
        assert_eq!(data, Ok(FromGlasses::Data("button_press".into())));
        let start = FromGlasses::parse(r#"{"packageName":"p","type":"start_app"}"#);
        assert_eq!(start, Ok(FromGlasses::StartApp("p".into())));
        let ping = FromGlasses::parse(r#" { "timestamp": 1, "type" : "ping" } "#);
        assert_eq!(ping, Ok(FromGlasses::Ping));
        for malformed in [
            "",
            "ping",
            r#""ping""#,
            "[]",
            "null",
            "{}",
            r#"{"kind":"ping"}"#,
            r#"{"type":1}"#,
            r#"{"type":"ping""#,
            r#"{"type":"a","type":"b"}"#,
            r#"{"type":"a"} {"type":"b"}"#,
            r#"{"type":"a","x":01}"#,
            "{\"type\":\"a\",\"x\":\"\n\"}",
        ] {
            assert!(FromGlasses::parse(malformed).is_err(), "{malformed}");
            assert!(FromApp::parse(malformed, "p").is_err(), "{malformed}");
            assert!(Init::parse(malformed).is_err(), "{malformed}");
        }
        let nothing = r#"{"type":"start_app"}"#;
        assert!(FromGlasses::parse(nothing).is_err(), "start what?");
        let deep = format!(r#"{{"type":"a","x":{}}}"#, "[".repeat(100_000));
        assert!(FromGlasses::parse(&deep).is_err());
    }

    #[test]
    fn an_app_subscribes_by_name_and_by_object() {
        let update = |items: &str| {
            let text = format!(r#"{{"type":"subscription_update","subscriptions":[{items}]}}"#);
            match FromApp::parse(&text, "p") {
                Ok(FromApp::Subscribe(names)) => {
                    Ok(names.iter().map(str::to_owned).collect::<Vec<_>>())
                }
                Ok(other) => panic!("{other:?}"),
                Err(e) => Err(e.0),
            }
        };
        assert_eq!(update(""), Ok(vec![]));
        assert_eq!(
            update(r#""VAD",{"stream":"location_stream","rate":"high"},"transcription","VAD""#),
            Ok(vec![
                "VAD".into(),
                "location_stream".into(),
                "transcription:en-US".into()
            ])
        );
        assert!(update("1").is_err());
        assert!(update(&vec![r#""x""#; 257].join(",")).is_err());
        assert!(update(&format!(r#""{}""#, "x".repeat(257))).is_err());
    }

    /// A list ends at its limit, wherever it stands and whatever is behind it: no JSON, even.
    #[test]
    fn a_list_that_is_too_long_is_read_to_its_limit_only() {
        let many = vec![r#"{"stream":""}"#; 257].join(",");
        let wrong = Err(Malformed(TOO_MANY.to_owned()));
        let text = format!(r#"{{"type":"subscription_update","subscriptions":[{many},!!"#);
        assert_eq!(FromApp::parse(&text, "p"), wrong);
        // The type behind the list is looked for; the list is not built for that.
        let text = format!(r#"{{"subscriptions":[{many},1],"type":"subscription_update"}}"#);
        assert_eq!(FromApp::parse(&text, "p"), wrong);
        let text = format!(r#"{{"subscriptions":[{many},1],"type":"custom"}}"#);
        assert_eq!(
            FromApp::parse(&text, "p"),
            Ok(FromApp::Request("custom".into()))
        );
        let long = "x".repeat(257);
        let escaped = "\\u0078".repeat(257);
        for item in [&*long, &*escaped] {
            for item in [format!(r#""{item}""#), format!(r#"{{"stream":"{item}"}}"#)] {
                let text = format!(r#"{{"type":"subscription_update","subscriptions":[{item},!!"#);
                assert_eq!(
                    FromApp::parse(&text, "p"),
                    Err(Malformed(TOO_LONG.to_owned()))
                );
            }
        }
    }

    /// A first message of another type is given up at its type: what is behind it is not even JSON.
    #[test]
    fn of_a_first_message_only_the_introduction_is_read() {
        for text in [
            r#"{"type":"subscription_update","subscriptions":[!!"#,
            r#"{"x":[{"y":1}],"type":"display_event",!!"#,
        ] {
            assert_eq!(Init::parse(text), Err(Malformed(NO_INIT.to_owned())));
        }
        let long = "x".repeat(1_000);
        for field in ["type", "sessionId", "packageName", "apiKey", "sdkVersion"] {
            let text = format!(r#"{{"{field}":"{long}",!!"#);
            let refused = Init::parse(&text).map_err(|e| e.0);
            assert_eq!(refused, Err(TOO_LONG.to_owned()), "{field}");
        }
        let sorted =
            r#"{"apiKey":"k","packageName":"p","sessionId":"a-p","type":"tpa_connection_init"}"#;
        let key = Init::parse(sorted).map(|init| init.api_key);
        assert_eq!(key, Ok(Some("k".into())));
        let twice = r#"{"type":"tpa_connection_init","packageName":"p","packageName":"q","sessionId":"a-p"}"#;
        assert!(Init::parse(twice).is_err());
    }

    #[test]
    fn names_are_bounded_before_they_are_copied() {
        let long = "x".repeat(257);
        for text in [
            format!(r#"{{"type":"{long}"}}"#),
            format!(r#"{{"type":"start_app","packageName":"{long}"}}"#),
        ] {
            let refused = FromGlasses::parse(&text);
            assert_eq!(refused, Err(Malformed(TOO_LONG.to_owned())));
            assert!(FromApp::parse(&text, &long).is_err());
        }
    }

    #[test]
    fn an_app_names_itself_or_nobody() {
        let parsed = |fields: &str| {
            let text = format!(r#"{{"type":"display_event"{fields}}}"#);
            FromApp::parse(&text, "com.x").map(|_| ()).map_err(|e| e.0)
        };
        for fields in [
            "",
            r#","packageName":"com.x""#,
            r#","packageName":"com.\u0078""#,
            r#","packageName":null"#,
            r#","layout":{"packageName":"com.y"}"#,
        ] {
            assert_eq!(parsed(fields), Ok(()), "{fields}");
        }
        for fields in [
            r#","packageName":"com.y""#,
            r#","packageName":"""#,
            r#","packageN\u0061me":"com.y""#,
        ] {
            assert_eq!(parsed(fields), Err(OTHER_PACKAGE.to_owned()), "{fields}");
        }
        // A field that stands twice could be read both ways.
        assert!(parsed(r#","packageName":"com.x","packageName":"com.y""#).is_err());
        assert!(parsed(r#","packageName":["com.y"]"#).is_err());
        assert!(parsed(r#","type":"auth_error""#).is_err());
    }

    #[test]
    fn the_gateways_words_are_reserved_and_those_of_apps_are_not() {
        assert!(RESERVED.is_sorted());
        for kind in RESERVED {
            assert!(is_reserved(kind), "{kind}");
        }
        for kind in [
            "display_event",
            "dashboard_content_update",
            "dashboard_mode_change",
            "dashboard_system_update",
            "photo_request",
            "rtmp_stream_request",
            "rtmp_stream_stop",
            "managed_stream_request",
            "managed_stream_stop",
            "stream_status_check",
            "audio_play_request",
            "audio_stop_request",
            "rgb_led_control",
            "location_poll_request",
            "request_wifi_setup",
            "app_broadcast_message",
            "app_direct_message",
            "app_room_join",
            "app_room_leave",
            "anything_else",
        ] {
            assert!(!is_reserved(kind), "{kind}");
        }
    }

    #[test]
    fn what_is_sent_is_json_whatever_the_names_are() {
        let odd = "a\"b\\c\n\u{202e}</script>";
        let data = json(&whole_data_stream(odd, odd, r#"{"type":"x","n":[1,2]}"#));
        assert_eq!(
            (data["sessionId"].as_str(), data["streamType"].as_str()),
            (Some(odd), Some(odd))
        );
        assert_eq!(data["data"]["n"][1], 2);
        let ack = json(&app_ack(odd, "p"));
        assert_eq!(ack["sessionId"], format!("{odd}-p"));
        assert!(ack["mentraosSettings"].is_object() && ack["settings"].is_array());
        for text in [
            connection_ack(odd),
            app_error("CODE", odd),
            glasses_error("CODE", odd),
            app_news("app_stopped", odd, Some(odd)),
            app_state_change(odd, "running"),
            app_stopped(odd),
        ] {
            assert!(json(&text)["timestamp"].is_string(), "{text}");
        }
    }

    /// Frames with bytes changed, cut, doubled and moved: nothing panics, and what is passed on is whole JSON that says the same.
    #[test]
    fn whatever_comes_is_understood_whole_or_not_at_all() {
        const FRAMES: [&str; 7] = [
            r#"{"type":"button_press","buttonId":"main","pressType":"short","n":[1,2.5e3,null,true]}"#,
            r#"{"type":"start_app","packageName":"com.example.notes"}"#,
            r#"{"type":"tpa_connection_init","sessionId":"a-b","packageName":"b","apiKey":"k"}"#,
            r#"{"type":"subscription_update","subscriptions":["a",{"stream":"b","rate":"c"}]}"#,
            r#"{"type":"ownership_release","reason":"switching_clouds"}"#,
            r#"{"type":"transcription","text":"\u00e9\ud83d\udc53 \\ \" /"}"#,
            r#"{"type":"x","deep":[[[[{"a":{"b":[]}}]]]]}"#,
        ];
        let mut rng = fastrand::Rng::with_seed(6455);
        let (mut passed, mut refused) = (0, 0);
        for _ in 0..60_000 {
            let Some(text) = mutated(&mut rng, &FRAMES) else {
                continue;
            };
            drop(FromApp::parse(&text, "b"));
            drop(Init::parse(&text));
            match FromGlasses::parse(&text) {
                Ok(FromGlasses::Data(kind)) => {
                    // Half a surrogate pair is JSON (RFC 8259 §8.2), and no string of Rust's: it is passed on unread.
                    let Ok(said) = serde_json::from_str::<serde_json::Value>(&text) else {
                        assert!(text.contains("\\u"), "{text}");
                        continue;
                    };
                    let sent = json(&whole_data_stream("s", stream_of(&kind), &text));
                    assert_eq!(sent["data"], said, "{text}");
                    assert_eq!(
                        sent.as_object().map(serde_json::Map::len),
                        Some(5),
                        "{text}"
                    );
                    passed += 1;
                }
                Ok(_) => {}
                Err(_) => refused += 1,
            }
        }
        assert!(passed > 1_000 && refused > 1_000, "{passed} {refused}");
    }
}
