//! Requests of the gateway to servers of apps and to webhooks.

use crate::folder::Folder;
use crate::sockets::{Client, Event, Gateway, eventually};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;

#[test]
fn an_app_server_that_answers_100_continue_for_ever_holds_no_other_request_up() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "http://{}/webhook",
        server.local_addr().expect("an address")
    );
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let some = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
                while stream.write_all(&some).is_ok() {}
            });
        }
    });
    let apps: Vec<Value> = (0..16)
        .map(|n| json!({"package": format!("p{n}"), "api_key": "key", "webhook_url": url}))
        .collect();
    let folder = Folder::new();
    let file = folder.file("apps.json", Value::from(apps).to_string());
    let secret = "the-secret-of-this-test-and-no-other";
    // These webhooks never time out.
    let gateway = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("AUTH_JWT_SECRET", secret),
        ("APPS_FILE", &file),
        ("WEBHOOK_TIMEOUT_MS", "3600000"),
    ]);
    let path = format!("/glasses-ws?token={}", crate::tokens::token("ada", secret));
    let mut glasses = Client::open(gateway.addr, &path);
    for n in 0..16 {
        glasses
            .send_text(&json!({"type": "start_app", "packageName": format!("p{n}")}).to_string());
    }
    for _ in 0..100 {
        let response = gateway.admin_request("GET", "/healthz", "", "");
        assert_eq!(response.status, 200);
    }
    gateway.line(&[
        "outcome=unreachable",
        "no final response head within the first 65536 bytes",
    ]);
    // The user is told this, and no more.
    let told = loop {
        match glasses.next_answering() {
            Event::Text(text) if text.contains("app_stopped") => break text,
            Event::Text(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(
        told.contains("the app's server cannot be reached"),
        "{told}"
    );
    gateway.end();
}

#[test]
fn a_reload_changes_where_webhooks_may_go() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "http://{}/webhook",
        server.local_addr().expect("an address")
    );
    let folder = Folder::new();
    let list = json!([{"package": "p", "api_key": "key", "webhook_url": url}]);
    let apps = folder.file("apps.json", list.to_string());
    let config = folder.file("settings.toml", "webhook_allow = ['203.0.113.0/24']");
    let secret = "the-secret-of-this-test-and-no-other";
    let gateway = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("AUTH_JWT_SECRET", secret),
        ("APPS_FILE", &apps),
        ("CONFIG_FILE", &config),
    ]);
    let path = format!("/glasses-ws?token={}", crate::tokens::token("ada", secret));
    let mut glasses = Client::open(gateway.addr, &path);
    let start = json!({"type": "start_app", "packageName": "p"}).to_string();
    glasses.send_text(&start);
    gateway.line(&["127.0.0.1 is in no network that WEBHOOK_ALLOW lists"]);
    loop {
        match glasses.next_answering() {
            Event::Text(text) if text.contains("app_stopped") => break,
            Event::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
    folder.file("settings.toml", "webhook_allow = ['127.0.0.0/8']");
    gateway.signal("HUP");
    gateway.line(&["[INFO] reload webhook_allow="]);
    // The loop logs its part first; the signal thread applies the webhook settings, perhaps
    // slightly later.
    server.set_nonblocking(true).expect("ours");
    let mut asked = eventually("the app's server is asked", || {
        glasses.send_text(&start);
        server.accept().ok().map(|(stream, _)| stream)
    });
    asked.set_nonblocking(false).expect("ours");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        asked.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("UTF-8");
    assert!(head.contains("x-pulsegate-signature: t="), "{head}");
    gateway.end();
}
