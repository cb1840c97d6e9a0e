//! The faults of a policy are named.

use pulsegate::health::{HeartbeatMode, Policy};
use pulsegate::time::Micros;

#[test]
fn every_fault_of_a_policy_is_named_in_one_text() {
    let faulty = Policy {
        heartbeat_interval: Micros::from_millis(9),
        connection_timeout: Micros::from_millis(8),
        suspect_after: 0,
        first_message_timeout: Some(Micros::from_millis(7)),
        first_message_bytes: Some(124),
        close_timeout: Micros::from_millis(6),
        mode: HeartbeatMode::Idle,
        ..Policy::default()
    };
    let text = faulty.validate().expect_err("six faults").to_string();
    for fault in [
        "heartbeat_interval is 9 ms",
        "connection_timeout is 8 ms",
        "suspect_after is 0",
        "first_message_timeout is 7 ms",
        "first_message_bytes is 124",
        "close_timeout is 6 ms",
    ] {
        assert_eq!(text.matches(fault).count(), 1, "{fault:?} in {text:?}");
    }
}

#[test]
fn each_fault_of_a_policy_is_found_alone_and_limits_are_allowed() {
    const LEAST: Micros = Policy::MIN_TIME;
    const BELOW: Micros = Micros(LEAST.0 - 1);
    let good = Policy {
        heartbeat_interval: LEAST,
        connection_timeout: LEAST + Micros(1),
        suspect_after: 1,
        first_message_timeout: Some(LEAST),
        first_message_bytes: Some(125),
        close_timeout: LEAST,
        mode: HeartbeatMode::Always,
        ..Policy::default()
    };
    assert_eq!(good.validate(), Ok(()));
    assert_eq!(Policy::default().validate(), Ok(()));
    type Fault = fn(&mut Policy);
    let faults: [(&str, Fault); 6] = [
        ("heartbeat_interval", |p| p.heartbeat_interval = BELOW),
        ("connection_timeout", |p| p.connection_timeout = LEAST),
        ("suspect_after", |p| p.suspect_after = 0),
        ("first_message_timeout", |p| {
            p.first_message_timeout = Some(BELOW)
        }),
        ("first_message_bytes", |p| p.first_message_bytes = Some(124)),
        ("close_timeout", |p| p.close_timeout = BELOW),
    ];
    for (field, fault) in faults {
        let mut policy = good;
        fault(&mut policy);
        let text = policy.validate().expect_err(field).to_string();
        assert!(text.starts_with(field), "{field}: {text:?}");
        assert_eq!(text.matches("; ").count(), 1, "only {field}: {text:?}");
    }
}
