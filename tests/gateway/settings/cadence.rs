//! The settings of adaptive cadence, together.

use super::loading::{fault, faults, run};

#[test]
fn limits_of_intervals_must_fit_those_of_heartbeats() {
    let told = fault("", &["DETECT_WITHIN_MS=44999"]);
    assert!(
        told.contains("DETECT_WITHIN_MS") && told.contains("45000"),
        "{told}"
    );
    run("", &["DETECT_WITHIN_MS=45000"]);
    // The limit of the interval matters only if intervals adapt.
    run("", &["HEARTBEAT_MAX_MS=14999"]);
    let told = fault("", &["HEARTBEAT_MAX_MS=14999", "ADAPTIVE_CADENCE=1"]);
    assert!(
        told.contains("HEARTBEAT_MAX_MS") && told.contains("15000"),
        "{told}"
    );
    let all = faults(
        "",
        &[
            "ADAPTIVE_CADENCE=1",
            "HEARTBEAT_MAX_MS=14999",
            "DETECT_WITHIN_MS=1000",
            "STATE_FILE=/tmp/one.json",
            "CADENCE_FILE=/tmp/one.json",
        ],
    );
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(
        all.iter()
            .any(|line| line.contains("another file than STATE_FILE")),
        "{all:?}"
    );
}

#[test]
fn settings_without_an_effect_are_told() {
    let warned = |env: &[&str], what: &str| {
        let warnings = run("", env).warnings();
        assert!(
            warnings.iter().any(|warning| warning.contains(what)),
            "{env:?}: {warnings:?}"
        );
    };
    warned(&["ADAPTIVE_CADENCE=1"], "no interval grows");
    warned(
        &["ADAPTIVE_CADENCE=1", "LATE=0", "DETECT_WITHIN_MS=1h"],
        "without LATE",
    );
    warned(&["CADENCE_FILE=/tmp/one.json"], "ADAPTIVE_CADENCE is 0");
    let fits = run("", &["ADAPTIVE_CADENCE=1", "DETECT_WITHIN_MS=1h"]);
    assert_eq!(fits.warnings(), Vec::<String>::new());
    let cadence = fits.cadence.expect("it is on");
    assert_eq!(cadence.detect_within.as_secs(), 3_600);
    assert_eq!(cadence.interval_max.as_secs(), 3_600);
}
