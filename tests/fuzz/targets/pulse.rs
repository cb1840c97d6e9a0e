//! Control frames of pulse, from clients and from gateways, with serde_json as the oracle.
//!
//! Properties:
//!
//! - Every text of an application arrives as it was sent, and is never taken for a control frame.
//! - An accepted frame is an object with the values that were found, and of one kind.
//! - A refused frame is no object, is too long, or has a field of the protocol.
//! - A frame that is written again is read as the same frame.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use pulsegate::pulse::{
    CONTROL_BYTES_MAX, ClientFrame, FAREWELL_FRAME, GatewayFrame, NUMBER_MAX, OpaqueToken,
    PulseText, REPORT_BYTES_MAX, REPORT_ENDED_MAX, REPORT_TRIES_MAX, ShortControl, bye_frame,
    end_frame, escaped, hello_frame, refused_frame, report_frame, resume_frame, state_frame,
};
use pulsegate_fuzz::Input;
use serde_json::{Map, Value};

/// The fields of the protocol.
const CLIENT_FIELDS: [&str; 7] = [
    "resume", "rx", "pong", "probe", "state", "report", "farewell",
];
const GATEWAY_FIELDS: [&str; 8] = [
    "hello", "rx", "ping", "probe", "bye", "refused", "big", "end",
];

/// Returns the members of an object. Of a field that occurs twice, it has the last.
fn object(json: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(json) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

fn number(members: &Map<String, Value>, name: &str) -> u64 {
    let number = members[name].as_u64().expect("a number");
    assert!(number <= NUMBER_MAX, "{number}");
    number
}

/// Checks that a frame has no kind but this one.
fn check_kind(members: &Map<String, Value>, kinds: &[&str], kind: &str) {
    for other in kinds.iter().filter(|other| **other != "rx") {
        assert_eq!(members.contains_key(*other), *other == kind, "{other}");
    }
}

fn written_again(text: &str) -> &str {
    match PulseText::of(text) {
        PulseText::Control(json) => json,
        PulseText::Application(_) => panic!("{text:?} is no control frame"),
    }
}

fn check_client(frame: &ClientFrame, json: &str) {
    // Deeper values than serde_json's limit are skipped by the parser, and refused by the oracle.
    let Some(members) = object(json) else {
        return;
    };
    let (kind, again) = match frame {
        ClientFrame::Resume { token, rx } => {
            assert_eq!(*rx, number(&members, "rx"));
            let stated = members["resume"].as_str().expect("a text");
            let token = token.map(|token| token.to_string());
            assert!(token.as_ref().is_none_or(|token| token == stated));
            ("resume", Some(resume_frame(&OpaqueToken::new(stated), *rx)))
        }
        ClientFrame::Pong { number: n, rx } => {
            assert_eq!(
                (*n, *rx),
                (number(&members, "pong"), number(&members, "rx"))
            );
            (
                "pong",
                Some(ShortControl::pong(*n, *rx).as_str().to_owned()),
            )
        }
        ClientFrame::Probe(n) => {
            assert_eq!(*n, number(&members, "probe"));
            ("probe", Some(ShortControl::probe(*n).as_str().to_owned()))
        }
        ClientFrame::Ack(rx) => {
            assert_eq!(*rx, number(&members, "rx"));
            ("rx", Some(ShortControl::ack(*rx).as_str().to_owned()))
        }
        ClientFrame::State(state) => ("state", Some(state_frame(state))),
        ClientFrame::Report(Some(report)) => {
            assert!(json.len() <= REPORT_BYTES_MAX + 12);
            assert!(report.ended.len() <= REPORT_ENDED_MAX);
            assert!(
                report
                    .ended
                    .iter()
                    .all(|end| end.tries.len() <= REPORT_TRIES_MAX)
            );
            // Fields with the value of their default are written, too: it may be longer.
            let again = report_frame(report);
            (
                "report",
                Some(again).filter(|again| again.len() <= REPORT_BYTES_MAX + 12),
            )
        }
        ClientFrame::Report(None) => ("report", None),
        ClientFrame::Farewell => {
            assert_eq!(members["farewell"], Value::Bool(true));
            ("farewell", Some(FAREWELL_FRAME.to_owned()))
        }
        ClientFrame::Unknown => {
            assert!(!members.contains_key("rx") || members.contains_key("farewell"));
            return;
        }
        other => panic!("{other:?} is a new kind"),
    };
    check_kind(&members, &CLIENT_FIELDS, kind);
    if let Some(again) = again {
        assert_eq!(
            ClientFrame::parse(written_again(&again)).as_ref(),
            Ok(frame)
        );
    }
}

fn check_gateway(frame: &GatewayFrame, json: &str) {
    let Some(members) = object(json) else {
        return;
    };
    let (kind, again) = match frame {
        GatewayFrame::Hello(hello) => ("hello", hello_frame(hello)),
        GatewayFrame::Ping { number: n, rx, .. } => {
            assert_eq!(
                (*n, *rx),
                (number(&members, "ping"), number(&members, "rx"))
            );
            ("ping", ShortControl::ping(*n, *rx).as_str().to_owned())
        }
        GatewayFrame::Probe { number: n, rx } => (
            "probe",
            ShortControl::probe_answer(*n, *rx).as_str().to_owned(),
        ),
        GatewayFrame::Ack(rx) => ("rx", ShortControl::ack(*rx).as_str().to_owned()),
        GatewayFrame::Bye(bye) => ("bye", bye_frame(bye)),
        GatewayFrame::Refused(refused) => ("refused", refused_frame(*refused)),
        GatewayFrame::Big(len) => ("big", ShortControl::big(*len as usize).as_str().to_owned()),
        GatewayFrame::End(end) => ("end", end_frame(end)),
        GatewayFrame::Unknown => {
            assert!(
                GATEWAY_FIELDS
                    .iter()
                    .all(|name| !members.contains_key(*name))
            );
            return;
        }
        other => panic!("{other:?} is a new kind"),
    };
    check_kind(&members, &GATEWAY_FIELDS, kind);
    assert_eq!(
        GatewayFrame::parse(written_again(&again)).as_ref(),
        Ok(frame)
    );
}

/// Checks that a text was refused for a reason.
fn check_refused(json: &str, fields: &[&str]) {
    if json.len() < CONTROL_BYTES_MAX
        && let Some(members) = object(json)
    {
        assert!(
            fields.iter().any(|name| members.contains_key(*name)),
            "{json}"
        );
    }
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(input) = Input::new(bytes) else {
        return Corpus::Reject;
    };
    let Ok(text) = std::str::from_utf8(input.data) else {
        return Corpus::Reject;
    };
    assert_eq!(PulseText::of(&escaped(text)), PulseText::Application(text));
    match ClientFrame::parse(text) {
        Ok(frame) => check_client(&frame, text),
        Err(_) => check_refused(text, &CLIENT_FIELDS),
    }
    match GatewayFrame::parse(text) {
        Ok(frame) => check_gateway(&frame, text),
        Err(_) => check_refused(text, &GATEWAY_FIELDS),
    }
    Corpus::Keep
});
