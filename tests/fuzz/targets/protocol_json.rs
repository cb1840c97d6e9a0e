//! The relay's JSON protocol: frames of glasses and apps, and the scanner of their fields, with
//! serde_json as the oracle.
//!
//! Properties:
//!
//! - The scanner finds the same fields in whatever steps it reads a text, and holds a bounded part
//!   of it.
//! - It accepts what serde_json accepts as an object, and nothing else. The fields are those of the
//!   text, as they stand, the type first.
//! - Each parser has the same result for a text and for its fields.
//! - An accepted frame has exactly one type, which is the one that the parser found. Subscriptions
//!   and introductions have the values of the text.
//! - A frame in its `data_stream` is valid JSON with five members, and the frame is one of them.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use pulsegate_fuzz::{Cuts, Input};
use relay::protocol::{
    APP_FIELDS, AppFrame, DATA_END, FIELDS_MAX_BYTES, FIELDS_MAX_TOKENS, FieldScanner,
    GLASSES_FIELDS, GlassesFrame, Init, Malformed, ScanProgress, data_stream, stream_of,
};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fmt;

/// The parsers, which are not public, as their own files.
#[path = "../../../src/relay"]
#[allow(dead_code, unused_imports, reason = "a part of the gateway")]
mod relay {
    pub(crate) mod protocol;
    pub(crate) mod subscriptions;
}

/// What the parsers import.
#[path = "../../../src/host"]
#[allow(dead_code, reason = "a part of the gateway")]
mod host {
    mod names;
    pub(crate) use names::{KEY_MAX, NAME_MAX};

    pub(crate) fn format_rfc3339(time: pulsegate::time::UnixMillis) -> String {
        time.0.to_string()
    }
}

/// What the parsers import.
#[path = "../../../src/base"]
#[allow(dead_code, reason = "a part of the gateway")]
mod base {
    pub(crate) mod json_fields;
    pub(crate) use pulsegate::time;
}

/// In the settings: the scanner reads the fields of an app's frame, not of one from glasses.
const OF_APP: u8 = 1;

/// The longest text.
const TEXT_MAX: usize = 192 << 10;

/// The package of the app.
const PACKAGE: &str = "p";

/// Returns the text of an input. What stands between the first two `~` is repeated a power of two
/// times, so that a short input can be a long or a deep text.
fn text_of(input: &Input<'_>) -> String {
    let text = match std::str::from_utf8(input.data) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&input.data[..e.valid_up_to()]).unwrap_or_default(),
    };
    let parts: Vec<&str> = text.splitn(3, '~').collect();
    let [before, middle, after] = parts[..] else {
        return text.to_owned();
    };
    let times = 1 << (input.settings >> 4);
    let times = times.min(TEXT_MAX / middle.len().max(1));
    [before, &middle.repeat(times), after].concat()
}

/// Scans a text in these steps; in one step without them.
fn scan(
    text: &str,
    fields: &'static [&'static str],
    mut steps: Option<Cuts>,
) -> Result<ScanProgress, Malformed> {
    let mut scanner = FieldScanner::new(fields);
    loop {
        let step = steps.as_mut().map_or(usize::MAX, Cuts::next_len);
        let progress = scanner.read(text, step);
        // What it holds at most: the copied fields, and a bit for each level.
        let most = FIELDS_MAX_BYTES + step.min(text.len()) + text.len() / 4 + 64;
        assert!(scanner.allocated() <= most, "{}", scanner.allocated());
        assert!(scanner.take_units() > 0);
        match progress {
            Ok(ScanProgress::Partial) => {}
            Ok(ScanProgress::TooLong(begin)) => {
                assert!(begin.len() <= FIELDS_MAX_BYTES + step.min(text.len()) + 2);
                return Ok(ScanProgress::TooLong(begin));
            }
            done => return done,
        }
    }
}

/// The members of the outermost object in order, duplicates included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

impl Members<'_> {
    fn values<'m>(&'m self, name: &str) -> impl Iterator<Item = &'m str> {
        let named = self.0.iter().filter(move |(n, _)| n == name);
        named.map(|(_, value)| value.get())
    }

    /// Returns the only value of this name, if it is a string.
    fn string(&self, name: &str) -> Option<String> {
        let mut values = self.values(name);
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} twice");
        serde_json::from_str(value).ok()
    }

    /// Returns what the scanner finds of them: name and value.
    fn scanned(&self, fields: &[&str]) -> Vec<(String, String)> {
        let read = self.0.iter().filter(|(name, _)| fields.contains(&&**name));
        let mut scanned: Vec<(String, String)> = read
            .map(|(name, value)| {
                let value = match value.get() {
                    nested if nested.starts_with(['[', '{']) && name != "subscriptions" => "[]",
                    value => value,
                };
                (name.clone(), value.to_owned())
            })
            .collect();
        scanned.sort_by_key(|(name, _)| name != "type");
        scanned
    }
}

fn members(text: &str) -> Option<Members<'_>> {
    serde_json::from_str(text).ok()
}

/// Checks the scanner on a text. Returns the fields that it found.
fn check_scanner(text: &str, fields: &'static [&'static str], steps: Cuts) -> Option<String> {
    let whole = scan(text, fields, None);
    let parts = scan(text, fields, Some(steps));
    let members = members(text);
    match (whole, parts) {
        (Ok(ScanProgress::Whole(whole)), parts) => {
            assert_eq!(parts, Ok(ScanProgress::Whole(whole.clone())));
            let members = members.expect("an object");
            let read = self::members(&whole).expect("an object");
            let read: Vec<_> = read
                .0
                .into_iter()
                .map(|(name, value)| (name, value.get().to_owned()))
                .collect();
            assert_eq!(read, members.scanned(fields));
            Some(whole)
        }
        (Err(whole), Err(parts)) => {
            assert_eq!(whole, parts);
            assert!(members.is_none(), "{whole:?}");
            assert!(GlassesFrame::parse(text).is_err(), "{whole:?}");
            assert!(AppFrame::parse(text, PACKAGE).is_err(), "{whole:?}");
            assert!(Init::parse(text).is_err(), "{whole:?}");
            None
        }
        // A fault behind fields that are too long may be found before them.
        (Ok(ScanProgress::TooLong(_)) | Err(_), Ok(ScanProgress::TooLong(_)))
        | (Ok(ScanProgress::TooLong(_)), Err(_)) => {
            assert!(text.len() > FIELDS_MAX_TOKENS / 4);
            None
        }
        (whole, parts) => panic!("{whole:?}, in steps {parts:?}"),
    }
}

/// Checks a frame of an app that was accepted.
fn check_app(frame: &AppFrame<'_>, text: &str) {
    let members = members(text).expect("an object");
    let kind = members.string("type").expect("a type");
    match frame {
        AppFrame::Init(init) => {
            assert_eq!(kind, "tpa_connection_init");
            check_init(init, text);
        }
        AppFrame::Subscribe(subscriptions) => {
            assert_eq!(kind, "subscription_update");
            let value = members.values("subscriptions").next().expect("a list");
            let items: Vec<serde_json::Value> = serde_json::from_str(value).expect("a list");
            assert!(items.len() <= 256);
            let named = |item: &serde_json::Value| {
                let name = item.as_str().or_else(|| item.get("stream")?.as_str());
                stream_of(name.expect("a name")).to_owned()
            };
            let names: BTreeSet<String> = items.iter().map(named).collect();
            assert!(subscriptions.iter().eq(names.iter().map(String::as_str)));
            assert!(names.iter().all(|name| name.len() <= 256));
            assert!(names.iter().all(|name| {
                subscriptions.wants(name) && !subscriptions.wants(&format!("{name}\u{1}"))
                    || names.contains("*")
                    || names.contains("all")
                    || names.contains(&format!("{name}\u{1}"))
            }));
        }
        AppFrame::Release => assert_eq!(kind, "ownership_release"),
        AppFrame::Ping => assert_eq!(kind, "ping"),
        AppFrame::Request(read) => assert_eq!(kind, *read),
    }
    let package = members.string("packageName");
    assert!(package.is_none_or(|package| package == PACKAGE));
}

fn check_init(init: &Init, text: &str) {
    let members = members(text).expect("an object");
    let kind = members.string("type");
    let expected = ["tpa_connection_init", "reconnect"][usize::from(init.is_reconnect)];
    assert_eq!(kind.as_deref(), Some(expected));
    assert_eq!(init.package_name, members.string("packageName"));
    assert_eq!(init.api_key, members.string("apiKey"));
    let session = members.string("sessionId");
    assert_eq!(init.has_session(), session.is_some());
    let user = session.as_deref().and_then(|s| s.strip_suffix("-p"));
    assert_eq!(init.user("p"), user.filter(|user| !user.is_empty()));
    assert!(init.package_name.as_ref().is_none_or(|p| p.len() <= 256));
    assert!(init.api_key.as_ref().is_none_or(|key| key.len() <= 512));
}

/// Checks a frame of glasses that was accepted.
fn check_glasses(frame: &GlassesFrame<'_>, text: &str) {
    let members = members(text).expect("an object");
    let kind = members.string("type").expect("a type");
    let package = || members.string("packageName").expect("a package");
    match frame {
        GlassesFrame::Init => assert_eq!(kind, "connection_init"),
        GlassesFrame::StartApp(started) => {
            assert_eq!((&*kind, &*package()), ("start_app", &**started));
        }
        GlassesFrame::StopApp(stopped) => {
            assert_eq!((&*kind, &*package()), ("stop_app", &**stopped));
        }
        GlassesFrame::Ping => assert_eq!(kind, "ping"),
        GlassesFrame::Data(read) => {
            assert_eq!(kind, *read);
            assert!(read.len() <= 256);
            let mut carried = data_stream("s\"", stream_of(read), text.len());
            carried.push_str(text);
            carried.push(DATA_END);
            let carried = self::members(&carried).expect("an object");
            assert_eq!(carried.0.len(), 5);
            assert_eq!(carried.values("data").next(), Some(text.trim()));
        }
    }
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(input) = Input::new(bytes) else {
        return Corpus::Reject;
    };
    let text = &*text_of(&input);
    let of_app = input.settings & OF_APP != 0;
    let fields = if of_app { APP_FIELDS } else { GLASSES_FIELDS };
    let scanned = check_scanner(text, fields, input.cuts);
    let glasses = GlassesFrame::parse(text);
    if let Ok(frame) = &glasses {
        check_glasses(frame, text);
    }
    let app = AppFrame::parse(text, PACKAGE);
    if let Ok(frame) = &app {
        check_app(frame, text);
    }
    if let Ok(init) = Init::parse(text) {
        check_init(&init, text);
    }
    match &scanned {
        Some(fields) if of_app => {
            let read = AppFrame::parse(fields, PACKAGE);
            assert_eq!(read.ok(), app.ok());
        }
        Some(fields) => {
            let read = GlassesFrame::parse(fields);
            assert_eq!(read.ok(), glasses.ok());
        }
        None => {}
    }
    Corpus::Keep
});
