//! What clients are told of the risk that their connection is lost.

use crate::rig::{Rig, S};
use pulsegate::testing::PeerId;
use serde_json::Value;

/// Waits for the next ping, and returns it.
#[track_caller]
fn next_ping(rig: &mut Rig, client: PeerId) -> Value {
    for _ in 0..20 {
        rig.pass(S);
        for line in rig.heard(client) {
            let json = line.trim_start_matches('\u{1}');
            let frame: Value = serde_json::from_str(json).expect("JSON");
            if frame["ping"].is_u64() {
                return frame;
            }
        }
    }
    panic!("no ping within 20 s");
}

fn answer(rig: &mut Rig, client: PeerId, ping: &Value) {
    rig.say(client, &format!(r#"{{"pong":{},"rx":0}}"#, ping["ping"]));
}

#[test]
fn a_client_is_told_when_the_risk_becomes_high_and_when_that_is_over() {
    let mut rig = Rig::new();
    let client = rig.proved().client;
    // The fourth is not answered, and all others are.
    let said: Vec<Value> = (1..=9)
        .map(|nth| {
            let ping = next_ping(&mut rig, client);
            if nth != 4 {
                answer(&mut rig, client, &ping);
            }
            ping["risk"].clone()
        })
        .collect();
    let hints: Vec<_> = said
        .iter()
        .map(|risk| risk.as_str().unwrap_or("-"))
        .collect();
    assert_eq!(hints, ["-", "-", "-", "-", "high", "-", "low", "-", "-"]);
    assert!(rig.net.is_open(client), "a hint closes nothing");
}

#[test]
fn a_new_connection_of_a_session_begins_with_a_low_risk() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    next_ping(&mut rig, pair.client);
    let told = next_ping(&mut rig, pair.client);
    assert_eq!(told["risk"], "high", "{told}");
    rig.cut(pair.client);
    let client = rig.resume(&pair.hello, 0);
    let hello = rig.hello(client);
    assert!(hello.resumed, "{hello:?}");
    for _ in 0..4 {
        let ping = next_ping(&mut rig, client);
        assert_eq!(ping["risk"], Value::Null, "{ping}");
        answer(&mut rig, client, &ping);
    }
}

#[test]
fn a_client_whose_network_stops_answering_is_told_too() {
    let mut rig = Rig::new();
    let client = rig.open_as("/?pulse=1&user=answers", "").client;
    for n in 0..8 {
        rig.open_as(&format!("/?pulse=1&user=silent-{n}"), "");
    }
    let said: Vec<Value> = (1..=2)
        .map(|_| {
            let ping = next_ping(&mut rig, client);
            answer(&mut rig, client, &ping);
            ping["risk"].clone()
        })
        .collect();
    assert_eq!(said, [Value::Null, "high".into()]);
}
