//! The settings of sessions that outlive their connections, in the gateway as a process.

use super::legs::Bridge;
use crate::sockets::{Client, Event, Server};
use serde_json::Value;

/// Opens a session. Returns its hello, too.
#[track_caller]
pub fn open(bridge: &Bridge, path: &str) -> (Client, Server, Value) {
    let mut client = bridge.ask(path, "");
    let service = bridge.service.open();
    client.switched();
    let hello = hello(&mut client);
    (client, service, hello)
}

#[track_caller]
fn hello(client: &mut Client) -> Value {
    let Event::Text(text) = client.next() else {
        panic!("no hello");
    };
    let json = text.strip_prefix('\u{1}').expect("a control frame");
    let frame: Value = serde_json::from_str(json).expect(json);
    frame["hello"].clone()
}

/// Opens a connection that wants the session of a hello back.
#[track_caller]
pub fn resume(bridge: &Bridge, hello: &Value) -> Client {
    let mut client = bridge.ask("/?pulse=1&resume=0", "");
    client.switched();
    let token = hello["resume"].as_str().expect("a token");
    client.send_text(&format!("\u{1}{{\"resume\":\"{token}\",\"rx\":0}}"));
    client
}

#[test]
fn pulse_is_off_by_default() {
    let bridge = Bridge::start(&[]);
    let mut client = bridge.ask("/?pulse=1", "");
    let mut service = bridge.service.open();
    client.switched();
    service.send_text("no hello");
    assert_eq!(client.next(), Event::Text("no hello".to_owned()));
}

#[test]
fn the_settings_are_what_the_hello_promises() {
    let bridge = Bridge::start(&[
        ("PULSE", "1"),
        ("HOLD_MS", "7000"),
        ("ACCEPT_RATE", "1"),
        ("MAX_MESSAGE_BYTES", "50000"),
    ]);
    let (_client, _service, hello) = open(&bridge, "/?pulse=1");
    assert_eq!(hello["ping_ms"], 60_000, "{hello}");
    assert_eq!(hello["timeout_ms"], 180_000, "{hello}");
    assert_eq!(hello["hold_ms"], 7_000, "{hello}");
    // A text that begins with 0x01 is one byte longer on the wire.
    assert_eq!(hello["max_message_bytes"], 49_999, "{hello}");
    assert_eq!(hello["retry"]["first_ms"], 1_000, "{hello}");
}

#[test]
fn a_session_waits_for_the_set_time() {
    let bridge = Bridge::start(&[("PULSE", "1"), ("HOLD_MS", "300")]);
    let (mut client, service, hello) = open(&bridge, "/?pulse=1");
    client.send_text("\u{1}{\"rx\":0}");
    client.send_text("one");
    client.send_text("\u{1}{\"probe\":1}");
    assert!(matches!(client.next(), Event::Text(text) if text.contains("probe")));
    client.reset();
    let mut service = service;
    assert_eq!(service.next_answering(), Event::Text("one".to_owned()));
    let (code, reason) = service.expect_close();
    assert_eq!(code, 1001);
    assert!(reason.starts_with("client lost: expired after"), "{reason}");
    let mut late = resume(&bridge, &hello);
    let _service = bridge.service.open();
    let hello = self::hello(&mut late);
    assert_eq!(hello["resumed"], false, "{hello}");
}

#[test]
fn a_session_is_resumed_by_a_real_socket() {
    let bridge = Bridge::start(&[("PULSE", "1")]);
    let (mut client, mut service, hello) = open(&bridge, "/?pulse=1");
    client.send_text("\u{1}{\"rx\":0}");
    client.send_text("\u{1}{\"probe\":1}");
    client.next();
    client.reset();
    service.send_text("kept");
    let mut back = resume(&bridge, &hello);
    let hello = self::hello(&mut back);
    assert_eq!(hello["resumed"], true, "{hello}");
    assert_eq!(back.next(), Event::Text("kept".to_owned()));
    back.send_text("up");
    assert_eq!(service.next_answering(), Event::Text("up".to_owned()));
}
