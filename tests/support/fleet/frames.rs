//! Frames of the contract.

use serde_json::{Value, json as object};

/// Returns a frame of the glasses with a number.
pub fn button(n: u64) -> Value {
    object!({"type":"button_press","buttonId":"a","pressType":"short","n":n})
}

/// Returns the number of a [`button`] that an app got.
pub fn number(text: &str) -> Option<u64> {
    json(text)["data"]["n"].as_u64()
}

#[track_caller]
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Returns the types of these frames.
pub fn texts(frames: &[String]) -> Vec<String> {
    let kind = |text: &String| json(text)["type"].as_str().unwrap_or_default().to_owned();
    frames.iter().map(kind).collect()
}
