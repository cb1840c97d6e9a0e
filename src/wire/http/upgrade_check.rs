//! The check of the 101 that answers a [`DialRequest`](super::DialRequest) (RFC 6455 §4.1).

use super::fields::{elements, lists};
use super::response::Response;
use super::response_fault::ResponseFault;
use tungstenite::handshake::derive_accept_key;
use tungstenite::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};

impl Response {
    /// Checks that this response accepts the upgrade that was requested with this key
    /// (RFC 6455 §4.1). Subprotocol and extensions are not checked.
    pub(crate) fn check_upgrade(&self, key: &str) -> Result<(), ResponseFault> {
        if self.status() != 101 {
            return Err(ResponseFault::Status(self.status()));
        }
        if self.is_http_10 {
            return Err(ResponseFault::OldVersion);
        }
        let headers = self.headers();
        let mut upgrades = elements(headers, &UPGRADE);
        let (upgrade, second) = (upgrades.next(), upgrades.next());
        if second.is_some() || !upgrade.is_some_and(|u| u.eq_ignore_ascii_case(b"websocket")) {
            return Err(ResponseFault::value(headers, &UPGRADE, "be websocket"));
        }
        if !lists(headers, &CONNECTION, b"upgrade") {
            return Err(ResponseFault::value(headers, &CONNECTION, "list Upgrade"));
        }
        let expected = derive_accept_key(key.as_bytes());
        let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
        let (accept, second) = (accepts.next(), accepts.next());
        if second.is_some() || accept.is_none_or(|a| a.as_bytes() != expected.as_bytes()) {
            return Err(ResponseFault::value(
                headers,
                &SEC_WEBSOCKET_ACCEPT,
                format!("be {expected:?}"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                             Connection: Upgrade\r\n\
                             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                             Sec-WebSocket-Protocol: b\r\n\r\n";

    #[test]
    fn the_101_of_the_rfc_is_accepted() {
        assert_eq!(Response::of(SWITCHING).check_upgrade(KEY), Ok(()));
        for (from, to) in [
            ("Upgrade: websocket", "UPGRADE: WebSocket"),
            ("Upgrade: websocket", "Upgrade:\twebsocket ,"),
            ("Connection: Upgrade", "Connection: keep-alive,\tUPGRADE"),
            (
                "Connection: Upgrade",
                "Connection: x\r\nConnection: upgrade",
            ),
            ("Switching Protocols", "Web Socket Protocol Handshake"),
            (" Switching Protocols", ""),
            ("Accept: ", "Accept:"),
            ("Protocol: b", "Protocol: b\r\nContent-Length: 5"),
        ] {
            let text = SWITCHING.replacen(from, to, 1);
            assert_ne!(text, SWITCHING);
            assert_eq!(Response::of(&text).check_upgrade(KEY), Ok(()), "{to:?}");
        }
    }

    #[test]
    fn a_101_that_is_not_accepted_names_what_is_wrong() {
        const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let must = r#"it must be "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=""#;
        let accept = |is: &str| format!("Sec-WebSocket-Accept {is}, {must}");
        let twice = r#"is "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" and "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=""#;
        let right = |text: &str| text.to_owned();
        for (from, to, expected) in [
            (
                "101 Switching",
                "200 OK",
                right("the status is 200, it must be 101"),
            ),
            (
                "HTTP/1.1",
                "HTTP/1.0",
                right("the 101 is HTTP/1.0, it must be HTTP/1.1"),
            ),
            (
                "Upgrade: websocket\r\n",
                "",
                right("Upgrade is missing, it must be websocket"),
            ),
            (
                "websocket",
                "h2c",
                right(r#"Upgrade is "h2c", it must be websocket"#),
            ),
            (
                "websocket",
                "websocket, h2c",
                right(r#"Upgrade is "websocket, h2c", it must be websocket"#),
            ),
            (
                "websocket",
                "websocket\r\nUpgrade: h2c",
                right(r#"Upgrade is "websocket" and "h2c", it must be websocket"#),
            ),
            (
                "Connection: Upgrade\r\n",
                "",
                right("Connection is missing, it must list Upgrade"),
            ),
            (
                "Connection: Upgrade",
                "Connection: keep-alive",
                right(r#"Connection is "keep-alive", it must list Upgrade"#),
            ),
            (ACCEPT, "X: y", accept("is missing")),
            (ACCEPT, "Sec-WebSocket-Accept:", accept(r#"is """#)),
            (
                "Accept: s3p",
                "Accept: S3p",
                accept(r#"is "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=""#),
            ),
            (
                "+xOo=",
                "+xOo",
                accept(r#"is "s3pPLMBiTxaQ9kYGzzhZRbK+xOo""#),
            ),
            (ACCEPT, &format!("{ACCEPT}\r\n{ACCEPT}"), accept(twice)),
        ] {
            let text = SWITCHING.replacen(from, to, 1);
            let fault = Response::of(&text).check_upgrade(KEY).expect_err("a fault");
            assert_eq!(fault.to_string(), expected, "{to:?}");
        }
        let other = Response::of(SWITCHING).check_upgrade("AQIDBAUGBwgJCgsMDQ4PEA==");
        assert!(other.is_err(), "the key of another request");
    }

    #[test]
    fn it_accepts_the_answer_of_our_own_server() {
        use super::super::{dial_request, request, upgrade};
        let key = dial_request::key_of([0xFE; 16]);
        let host = "x".parse().expect("a value");
        let sent = dial_request::DialRequest::new("/ws", host).render(&key);
        let request = request::Request::of(str::from_utf8(&sent).expect("ASCII"));
        let answer = upgrade::switching_protocols(&request, None, &[]).expect("an upgrade");
        let response = Response::of(str::from_utf8(&answer).expect("ASCII"));
        assert_eq!(response.check_upgrade(&key), Ok(()));
    }
}
