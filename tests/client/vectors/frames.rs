//! Random numbers, escapes, lengths and control frames.

use pulsegate::Message;
use pulsegate::client::Mulberry32;
use pulsegate::pulse::{GatewayFrame, PulseText, escaped};
use serde::Deserialize;
use serde_json::{Value, json};

use super::format::vectors;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {
    seed: u32,
    values: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    seed: u32,
    a: u64,
    b: u64,
    values: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
pub enum Escape {
    Control { sent: String, control: String },
    Text { text: String, sent: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    text: String,
    bytes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    valid: Vec<String>,
    invalid: Vec<String>,
}

#[test]
fn random_numbers() {
    for case in vectors().random {
        let mut random = Mulberry32::new(case.seed);
        let values: Vec<u32> = case.values.iter().map(|_| random.next_u32()).collect();
        assert_eq!(values, case.values, "seed {}", case.seed);
    }
}

#[test]
fn uniform_times() {
    for case in vectors().uniform {
        let mut random = Mulberry32::new(case.seed);
        let mut next = || random.uniform(case.a, case.b);
        let values: Vec<u64> = case.values.iter().map(|_| next()).collect();
        assert_eq!(values, case.values, "seed {}", case.seed);
    }
}

#[test]
fn escapes() {
    for case in vectors().escape {
        match case {
            Escape::Control { sent, control } => {
                assert_eq!(PulseText::of(&sent), PulseText::Control(&control));
            }
            Escape::Text { text, sent } => {
                assert_eq!(escaped(&text), sent);
                assert_eq!(PulseText::of(&sent), PulseText::Application(&text));
            }
        }
    }
}

#[test]
fn sizes() {
    for case in vectors().size {
        assert_eq!(Message::text(&case.text).len(), case.bytes, "{}", case.text);
    }
}

/// Returns what was read of a frame, in the form in which it was written.
fn written(frame: &GatewayFrame) -> Value {
    match frame {
        GatewayFrame::Hello(hello) => json!({ "hello": hello }),
        GatewayFrame::Ping {
            number,
            rx,
            first_ms,
            risk,
        } => {
            let mut ping = json!({ "ping": number, "rx": rx });
            if let Some(first_ms) = first_ms {
                ping["first_ms"] = json!(first_ms);
            }
            if let Some(risk) = risk {
                ping["risk"] = json!(risk);
            }
            ping
        }
        GatewayFrame::Probe { number, rx } => json!({ "probe": number, "rx": rx }),
        GatewayFrame::Ack(rx) => json!({ "rx": rx }),
        GatewayFrame::Bye(bye) => json!({ "bye": bye }),
        GatewayFrame::Refused(refused) => json!({ "refused": refused }),
        GatewayFrame::Big(bytes) => json!({ "big": bytes }),
        GatewayFrame::End(end) => json!({ "end": end }),
        _ => json!({}),
    }
}

/// Returns whether `part` is in `whole`: numbers and texts as they are, objects field by field.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(name, value)| {
            let found = whole.get(name);
            // A field that may be absent is written with its default.
            let is_default = [json!(0), json!("")].contains(value);
            found.map_or(is_default, |found| contains(found, value))
        }),
        _ => whole == part,
    }
}

#[test]
fn control_frames() {
    let frames = vectors().frames;
    for json in frames.valid {
        let frame = GatewayFrame::parse(&json).unwrap_or_else(|e| panic!("{json}: {e}"));
        let given: Value = serde_json::from_str(&json).expect("JSON");
        let read = written(&frame);
        assert!(contains(&given, &read), "{json}: {read}");
        let is_known = [
            "hello", "ping", "probe", "rx", "bye", "refused", "big", "end",
        ]
        .iter()
        .any(|kind| given.get(kind).is_some());
        assert_eq!(is_known, frame != GatewayFrame::Unknown, "{json}");
    }
    for json in frames.invalid {
        assert!(GatewayFrame::parse(&json).is_err(), "{json}");
    }
}
