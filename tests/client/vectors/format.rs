//! The file as a whole.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::frames::{Escape, Frames, Random, Size, Uniform};
use super::ledgers::{InboxCase, OutboxCase};
use super::schedule::ScheduleCase;
use super::watchdog::WatchdogCase;

/// Every section of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vectors {
    pub format: Vec<String>,
    pub random: Vec<Random>,
    pub uniform: Vec<Uniform>,
    pub escape: Vec<Escape>,
    pub size: Vec<Size>,
    pub frames: Frames,
    pub outbox: Vec<OutboxCase>,
    pub inbox: Vec<InboxCase>,
    pub schedule: Vec<ScheduleCase>,
    pub watchdog: Vec<WatchdogCase>,
}

pub fn vectors() -> Vectors {
    let text = include_str!("../../pulse_vectors.json");
    let vectors: Vectors = serde_json::from_str(text).expect("a file of vectors");
    assert!(!vectors.format.is_empty());
    vectors
}

/// Parses a field that is absent or has a value, which may be null.
pub fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Returns whether a text is a valid value.
fn is_valid<T: DeserializeOwned>(text: &str) -> bool {
    serde_json::from_str::<T>(text).is_ok()
}

#[test]
fn an_unknown_section_or_field_is_an_error() {
    let mut file: Value =
        serde_json::from_str(include_str!("../../pulse_vectors.json")).expect("JSON");
    assert!(is_valid::<Vectors>(&file.to_string()));
    file["later"] = Value::Array(Vec::new());
    assert!(!is_valid::<Vectors>(&file.to_string()));
    assert!(!is_valid::<Size>(r#"{"text":"","bytes":0,"later":1}"#));
    let step = r#"{"at":0,"do":"end","code":1000,"then":{"class":"over","n":0,"stop":true}}"#;
    let case = |step: &str| format!(r#"{{"name":"x","seed":1,"steps":[{step}]}}"#);
    assert!(is_valid::<ScheduleCase>(&case(step)));
    for (known, unknown) in [
        ("\"end\"", "\"later\""),
        ("\"code\":1000", "\"code\":1000,\"later\":1"),
        ("\"stop\"", "\"later\""),
    ] {
        assert!(!is_valid::<ScheduleCase>(&case(
            &step.replace(known, unknown)
        )));
    }
}
