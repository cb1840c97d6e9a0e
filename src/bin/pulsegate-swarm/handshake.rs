//! The opening handshake on a client's side (RFC 6455 §4.1).

use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

/// A handshake that is under way.
pub struct ClientHandshake {
    /// The answer that the server must send.
    accept: String,
    /// The part of the response head that has arrived.
    head: Vec<u8>,
}

/// The longest response head that is accepted.
const HEAD_LIMIT: usize = 8 * 1024;

impl ClientHandshake {
    /// Starts a handshake, and returns the request to send.
    pub fn begin(host: &str, path: &str) -> (ClientHandshake, Vec<u8>) {
        let key = generate_key();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
             User-Agent: pulsegate-swarm\r\n\r\n"
        );
        let accept = derive_accept_key(key.as_bytes());
        (
            ClientHandshake {
                accept,
                head: Vec::new(),
            },
            request.into_bytes(),
        )
    }

    /// Reads a piece of the response. `Some`: the connection is open, and these bytes follow the
    /// head.
    ///
    /// The error is the kind of failure: `http_STATUS` for a refusal, `bad_response` for an invalid
    /// response.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.head.extend_from_slice(bytes);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&self.head) {
            Ok(httparse::Status::Complete(end)) => match response.code {
                Some(101) if self.is_accepted(response.headers) => {
                    Ok(Some(self.head.split_off(end)))
                }
                Some(status) if status != 101 => Err(format!("http_{status}")),
                _ => Err("bad_response".into()),
            },
            Ok(httparse::Status::Partial) if self.head.len() < HEAD_LIMIT => Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => Err("bad_response".into()),
        }
    }

    fn is_accepted(&self, headers: &[httparse::Header<'_>]) -> bool {
        headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("Sec-WebSocket-Accept")
                && header.value.trim_ascii() == self.accept.as_bytes()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(upgrade: &ClientHandshake) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             sec-websocket-accept: {}\r\n\r\n",
            upgrade.accept
        )
    }

    #[test]
    fn a_response_may_come_in_pieces_and_with_frames_behind_it() {
        let (mut upgrade, _) = ClientHandshake::begin("h", "/");
        let response = answer(&upgrade) + "\u{9}more";
        let (first, second) = response.split_at(40);
        assert_eq!(upgrade.advance(first.as_bytes()), Ok(None));
        assert_eq!(
            upgrade.advance(second.as_bytes()),
            Ok(Some(b"\x09more".to_vec()))
        );
    }

    #[test]
    fn a_refusal_is_named_by_its_status() {
        let of = |response: &str| {
            ClientHandshake::begin("h", "/")
                .0
                .advance(response.as_bytes())
        };
        assert_eq!(
            of("HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n\r\n{}"),
            Err("http_503".into())
        );
        assert_eq!(
            of("HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: x\r\n\r\n"),
            Err("bad_response".into())
        );
        assert_eq!(of("\u{88}"), Err("bad_response".into()));
        assert_eq!(
            of(&format!("HTTP/1.1 101 Yes\r\nX: {}", "x".repeat(9_000))),
            Err("bad_response".into())
        );
    }
}
