//! The JSON that clients send and are sent (text frames, an object with a `type`), understood as far as routing needs it. What is
//! sent on is not encoded anew.

use super::auth::iso;
use crate::time::UnixMillis;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;

/// The answer to a JSON ping.
pub(super) const PONG: &str = r#"{"type":"pong"}"#;

/// What binary frames of glasses are to those who subscribe.
pub(super) const AUDIO: &str = "audio_chunk";

/// The most subscriptions of one app, and the longest, in bytes. The SDK knows some forty.
const SUBSCRIPTIONS_MAX: usize = 256;
const SUBSCRIPTION_BYTES_MAX: usize = 256;

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
    Subscribe(Box<[Box<str>]>),
    /// `ownership_release`: it leaves on purpose.
    Release,
    /// `ping`.
    Ping,
    /// Something for the glasses: its type.
    Request(Cow<'a, str>),
}

/// An app's introduction.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Init {
    session_id: String,
    pub(super) package_name: String,
    #[serde(default)]
    pub(super) api_key: String,
}

/// The key is not shown.
impl fmt::Debug for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Init");
        shown.field("session_id", &self.session_id);
        shown.field("package_name", &self.package_name);
        shown.finish_non_exhaustive()
    }
}

impl Init {
    /// The user: the session id is `<user>-<package>`, and both may have hyphens.
    pub(super) fn user(&self) -> Option<&str> {
        let user = self.session_id.strip_suffix(&self.package_name)?;
        user.strip_suffix('-').filter(|user| !user.is_empty())
    }
}

/// Why a frame is not understood, for whoever sent it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) String);

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

impl<'a> FromGlasses<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct App {
            #[serde(rename = "packageName")]
            package: Box<str>,
        }
        let kind = parse::<Head<'_>>(text)?.kind;
        Ok(match &*kind {
            "connection_init" => FromGlasses::Init,
            "start_app" => FromGlasses::StartApp(parse::<App>(text)?.package),
            "stop_app" => FromGlasses::StopApp(parse::<App>(text)?.package),
            "ping" => FromGlasses::Ping,
            _ => FromGlasses::Data(kind),
        })
    }
}

impl<'a> FromApp<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Malformed> {
        let kind = parse::<Head<'_>>(text)?.kind;
        Ok(match &*kind {
            "tpa_connection_init" => FromApp::Init(parse(text)?),
            "subscription_update" => FromApp::Subscribe(subscriptions(text)?),
            "ownership_release" => FromApp::Release,
            "ping" => FromApp::Ping,
            _ => FromApp::Request(kind),
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
                format!("a field is missing or of the wrong type (line {line}, column {column})")
            }
            _ => format!("not JSON (line {line}, column {column})"),
        })
    })
}

fn subscriptions(text: &str) -> Result<Box<[Box<str>]>, Malformed> {
    #[derive(Deserialize)]
    struct Update {
        subscriptions: Vec<Item>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Item {
        Name(Box<str>),
        With { stream: Box<str> },
    }
    let items = parse::<Update>(text)?.subscriptions;
    if items.len() > SUBSCRIPTIONS_MAX {
        let most = format!("more than {SUBSCRIPTIONS_MAX} subscriptions");
        return Err(Malformed(most));
    }
    let mut names: Vec<Box<str>> = Vec::with_capacity(items.len());
    for item in items {
        let (Item::Name(name) | Item::With { stream: name }) = item;
        if name.len() > SUBSCRIPTION_BYTES_MAX {
            let most = format!("a subscription of more than {SUBSCRIPTION_BYTES_MAX} bytes");
            return Err(Malformed(most));
        }
        let name = match stream_of(&name) {
            Cow::Borrowed(same) if same.len() == name.len() => name,
            other => other.into(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names.into())
}

/// The stream that a type, or a subscription, stands for: the SDK knows transcriptions by their language only.
pub(super) fn stream_of(kind: &str) -> Cow<'_, str> {
    match kind {
        "transcription" => Cow::Borrowed("transcription:en-US"),
        other => Cow::Borrowed(other),
    }
}

/// Whether a type is the gateway's word to glasses. From an app it would be a forgery: `auth_error`, for one, makes some of them
/// leave for good.
pub(super) fn is_ours(kind: &str) -> bool {
    matches!(
        kind,
        "auth_error"
            | "connection_ack"
            | "connection_error"
            | "app_started"
            | "app_stopped"
            | "app_state_change"
            | "pong"
            | "reconnect"
    )
}

/// Whether somebody with these subscriptions gets this stream. Audio is for who asks for it by name.
pub(super) fn wants(subscriptions: &[Box<str>], stream: &str) -> bool {
    let mut all = subscriptions.iter();
    let any = stream != AUDIO;
    all.any(|wanted| (any && matches!(&**wanted, "*" | "all")) || **wanted == *stream)
}

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

/// A frame of the glasses, as it goes to every app that subscribed. `frame` must be whole JSON.
pub(super) fn data_stream(session: &str, stream: &str, frame: &str) -> String {
    format!(
        r#"{{"type":"data_stream","sessionId":{},"streamType":{},"timestamp":"{}","data":{frame}}}"#,
        Quoted(session),
        Quoted(stream),
        now()
    )
}

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
    format!(
        r#"{{"type":"tpa_connection_ack","sessionId":{},"settings":[],"mentraosSettings":{{}},"capabilities":null,"timestamp":"{}"}}"#,
        Quoted(&format!("{user}-{package}")),
        now()
    )
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
            let Ok(FromApp::Init(init)) = FromApp::parse(&text) else {
                panic!("{text}");
            };
            assert_eq!(init.user(), user, "{text}");
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
            assert!(FromApp::parse(malformed).is_err(), "{malformed}");
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
            match FromApp::parse(&text) {
                Ok(FromApp::Subscribe(names)) => {
                    Ok(names.iter().map(|n| n.to_string()).collect::<Vec<_>>())
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

    #[test]
    fn streams_are_matched_exactly() {
        let wanted = ["VAD".into(), "transcription:en-US".into()];
        assert!(wants(&wanted, "VAD"));
        assert!(wants(&wanted, &stream_of("transcription")));
        assert!(!wants(&wanted, "VA"));
        assert!(!wants(&wanted, "transcription:de-DE"));
        assert!(!wants(&[], "VAD"));
        assert!(wants(&["*".into()], "x") && wants(&["all".into()], "x"));
        assert!(!wants(&["*".into(), "all".into()], AUDIO) && wants(&[AUDIO.into()], AUDIO));
    }

    #[test]
    fn what_is_sent_is_json_whatever_the_names_are() {
        let odd = "a\"b\\c\n\u{202e}</script>";
        let data = json(&data_stream(odd, odd, r#"{"type":"x","n":[1,2]}"#));
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
        const BYTES: &[u8] = br#"{}[]",:\u0 etn1"#;
        let mut rng = fastrand::Rng::with_seed(6455);
        let (mut passed, mut refused) = (0, 0);
        for _ in 0..60_000 {
            let mut bytes = FRAMES[rng.usize(0..FRAMES.len())].as_bytes().to_vec();
            for _ in 0..rng.u8(0..4) {
                let at = rng.usize(0..bytes.len());
                match rng.u8(0..4) {
                    0 => bytes[at] = BYTES[rng.usize(0..BYTES.len())],
                    1 => bytes.insert(at, BYTES[rng.usize(0..BYTES.len())]),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.extend_from_within(at..),
                }
            }
            let Ok(text) = String::from_utf8(bytes) else {
                continue;
            };
            drop(FromApp::parse(&text));
            match FromGlasses::parse(&text) {
                Ok(FromGlasses::Data(kind)) => {
                    // Half a surrogate pair is JSON (RFC 8259 §8.2), and no string of Rust's: it is passed on unread.
                    let Ok(said) = serde_json::from_str::<serde_json::Value>(&text) else {
                        assert!(text.contains("\\u"), "{text}");
                        continue;
                    };
                    let sent = json(&data_stream("s", &stream_of(&kind), &text));
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
