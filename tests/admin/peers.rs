//! Peers of the gateway under test.

use crate::sockets::{Client, Event, Gateway};
use serde_json::Value;

pub const TOKEN: &str = "a-token-of-32-characters-0123456";

pub fn glasses(gateway: &Gateway, user: &str) -> Client {
    Client::open(gateway.addr, &format!("/glasses-ws?user={user}"))
}

pub fn app(gateway: &Gateway, user: &str, package: &str) -> Client {
    Client::open(
        gateway.addr,
        &format!("/tpa-ws?user={user}&package={package}"),
    )
}

/// Starts a gateway with long intervals: it closes nothing unless a test causes it.
pub fn quiet() -> Gateway {
    Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("HEARTBEAT_INTERVAL_MS", "20000"),
        ("CONNECTION_TIMEOUT_MS", "60000"),
    ])
}

/// Answers pings until the close frame arrives.
pub fn until_closed(mut client: Client) -> (u16, String) {
    match client.next_answering() {
        Event::Close(code, reason) => (code, reason),
        other => panic!("{other:?}"),
    }
}

/// Returns every path of the OpenAPI document with its methods, and the paths that it does not
/// list.
pub fn all_paths(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let mut all: Vec<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods
                .keys()
                .map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    assert!(all.len() >= 21, "{all:?}");
    all.push(("GET".to_owned(), "/nowhere".to_owned()));
    all
}
