//! Peers of the gateway under test.

use crate::sockets::{Client, Event, Gateway, upgrade};
use crate::tokens::token;

/// The secret that signs the tokens of glasses, where a test needs one.
pub const SECRET: &str = "the-secret-of-this-test-and-no-other";

pub fn glasses(gateway: &Gateway, user: &str) -> Client {
    Client::open(gateway.addr, &format!("/glasses-ws?user={user}"))
}

/// Opens glasses with a token that is signed with [`SECRET`].
pub fn glasses_with_token(gateway: &Gateway, user: &str) -> Client {
    let path = format!("/glasses-ws?token={}", token(user, SECRET));
    Client::open(gateway.addr, &path)
}

/// Sends an upgrade request with these extra lines.
pub fn asked(gateway: &Gateway, path: &str, lines: &str) -> Client {
    let mut client = Client::connect(gateway.addr);
    let host = format!("Host: {}\r\n", gateway.addr);
    let request = upgrade(path).replace("Host: test\r\n", &format!("{host}{lines}"));
    client.write(request.as_bytes());
    client
}

/// Asserts that the gateway still answers this peer.
#[track_caller]
pub fn assert_served(client: &mut Client) {
    client.send_text(r#"{"type":"ping"}"#);
    let pong = client.next_answering();
    assert!(
        matches!(&pong, Event::Text(text) if text.contains("pong")),
        "{pong:?}"
    );
}
