//! The 101 to the client, from the upstream's.

use super::end_to_end::{Field, NamedFields, passed_fields};
use super::extensions::{deflate_answer, extensions};
use super::offer::Offer;
use crate::engine::Response;
use crate::wire::http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use crate::wire::http::{HeaderValue, elements, list_elements, quoted};

/// A WebSocket that the upstream has accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Acceptance {
    /// The header fields of our 101, besides those of its handshake.
    pub(crate) headers: Vec<Field>,
    /// Whether permessage-deflate is in use, so that RSV1 may be set.
    pub(crate) is_compressed: bool,
}

/// A 101 that accepts what the client did not offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AnswerFault {
    /// More than one subprotocol.
    #[error("the upstream chose more than one subprotocol")]
    Subprotocols,
    /// A subprotocol that the client did not offer.
    #[error("the upstream chose the subprotocol {0}, which the client did not offer")]
    Subprotocol(String),
    /// More than one extension, or a malformed field.
    #[error("the upstream's Sec-WebSocket-Extensions is {0}, it must be one extension at most")]
    Extensions(String),
    /// An extension that the client did not offer, or not with these parameters.
    #[error("the upstream chose the extension {0}, which the client's offers do not allow")]
    Extension(String),
}

/// Checks subprotocol and extensions of a 101 against the client's offer (RFC 6455 §4.1, RFC 7692
/// §7.1). Returns what our 101 says. The rest of the handshake has been checked.
pub(crate) fn check_upgrade(response: &Response, offer: &Offer) -> Result<Acceptance, AnswerFault> {
    let headers = response.headers();
    let mut protocols = elements(headers, &SEC_WEBSOCKET_PROTOCOL);
    let (protocol, second) = (protocols.next(), protocols.next());
    if second.is_some() {
        return Err(AnswerFault::Subprotocols);
    }
    if let Some(protocol) = protocol.filter(|p| !offer.has_subprotocol(p)) {
        return Err(AnswerFault::Subprotocol(quoted(protocol)));
    }
    let lines: Vec<&HeaderValue> = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().collect();
    let text = || {
        lines
            .first()
            .map_or_else(String::new, |line| quoted(line.as_bytes()))
    };
    // RFC 6455 §11.3.2: a response has one line.
    let accepted = match extensions(lines.iter().copied()) {
        Ok(all) if all.len() <= 1 && lines.len() <= 1 => all.into_iter().next(),
        _ => return Err(AnswerFault::Extensions(text())),
    };
    if let Some(extension) = &accepted
        && !deflate_answer(extension).is_some_and(|answer| offer.allows(&answer))
    {
        return Err(AnswerFault::Extension(text()));
    }
    let is_compressed = accepted.is_some();
    let mut fields = passed_fields(response.headers(), NamedFields::Removed);
    // An empty field chooses nothing, and some clients reject it.
    fields.retain(|(name, value)| {
        *name != SEC_WEBSOCKET_PROTOCOL || list_elements(value).next().is_some()
    });
    let chosen = lines.first().filter(|_| is_compressed);
    fields.extend(chosen.map(|&value| (SEC_WEBSOCKET_EXTENSIONS, value.clone())));
    Ok(Acceptance {
        headers: fields,
        is_compressed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Request;

    fn offer(fields: &str) -> Offer {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
        Offer::read(&Request::of(&head)).expect("well-formed").0
    }

    fn response(fields: &str) -> Response {
        Response::of(&format!("HTTP/1.1 101 x\r\n{fields}\r\n\r\n"))
    }

    fn shown(fields: &[Field]) -> String {
        let lines = fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.as_bytes().escape_ascii()));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Returns the fields of our 101, or the fault.
    fn checked(offered: &str, answered: &str) -> String {
        match check_upgrade(&response(answered), &offer(offered)) {
            Ok(acceptance) => shown(&acceptance.headers),
            Err(fault) => format!("fault: {fault}"),
        }
    }

    #[test]
    fn a_101_passes_with_its_own_fields() {
        let offer = offer(
            "Sec-WebSocket-Protocol: a, b\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        );
        let answered = response(
            "Upgrade: websocket\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nServer: s\r\n\
             Set-Cookie: a=1; Secure\r\nSec-WebSocket-Protocol: b\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=\"12\"\r\n\
             Set-Cookie: b=\u{e9}\r\nContent-Length: 0\r\nDate: d\r\nKeep-Alive: 5",
        );
        let acceptance = check_upgrade(&answered, &offer).expect("as offered");
        assert!(acceptance.is_compressed);
        assert_eq!(
            shown(&acceptance.headers),
            "server: s\nset-cookie: a=1; Secure\nset-cookie: b=\\xc3\\xa9\n\
             sec-websocket-protocol: b\ndate: d\n\
             sec-websocket-extensions: permessage-deflate; client_max_window_bits=\\\"12\\\""
        );
        let plain = check_upgrade(&response("Connection: Set-Cookie\r\nSet-Cookie: a"), &offer);
        let plain = plain.expect("nothing chosen");
        assert!(!plain.is_compressed);
        assert_eq!(shown(&plain.headers), "set-cookie: a");
    }

    #[test]
    fn a_subprotocol_must_have_been_offered() {
        let wrong = |name: &str| {
            format!(
                "fault: the upstream chose the subprotocol \"{name}\", which the client did not \
                 offer"
            )
        };
        let several = "fault: the upstream chose more than one subprotocol".to_owned();
        let right = |name: &str| format!("sec-websocket-protocol: {name}");
        for (offered, answered, expected) in [
            ("a, b", "b", right("b")),
            ("a\r\nSec-WebSocket-Protocol:\tb ,c", "b", right("b")),
            // Clients that are no browsers offer what is no token.
            ("v1/json", "v1/json", right("v1/json")),
            ("a", "", String::new()),
            ("a", "b", wrong("b")),
            ("a", "A", wrong("A")),
            ("ab, a b", "a", wrong("a")),
            ("", "a", wrong("a")),
            ("a, b", "a, b", several.clone()),
            ("a", "a\r\nSec-WebSocket-Protocol: a", several),
            ("a", "\r\nSec-WebSocket-Protocol: a", right("a")),
        ] {
            let offered = format!("Sec-WebSocket-Protocol: {offered}");
            let answered = format!("Sec-WebSocket-Protocol: {answered}");
            assert_eq!(
                checked(&offered, &answered),
                expected,
                "{offered}; {answered}"
            );
        }
        assert_eq!(checked("X: 1", "Sec-WebSocket-Protocol: a"), wrong("a"));
        assert_eq!(checked("Sec-WebSocket-Protocol: a", "X: 1"), "x: 1");
    }

    #[test]
    fn an_extension_must_have_been_offered() {
        const OFFER: &str = "x, permessage-deflate; server_max_window_bits=10, \
                             permessage-deflate; client_no_context_takeover";
        let unallowed = |text: &str| {
            format!(
                "fault: the upstream chose the extension \"{text}\", which the client's offers do \
                 not allow"
            )
        };
        let malformed = |text: &str| {
            format!(
                "fault: the upstream's Sec-WebSocket-Extensions is \"{text}\", it must be one \
                 extension at most"
            )
        };
        let right = |text: &str| format!("sec-websocket-extensions: {text}");
        let deflate = "permessage-deflate";
        for (offered, answered, expected) in [
            (OFFER, deflate, right(deflate)),
            (OFFER, "permessage-deflate;server_max_window_bits=9", {
                right("permessage-deflate;server_max_window_bits=9")
            }),
            (OFFER, "permessage-deflate;client_max_window_bits=9", {
                unallowed("permessage-deflate;client_max_window_bits=9")
            }),
            (OFFER, "", String::new()),
            (OFFER, "x", unallowed("x")),
            (OFFER, "Permessage-Deflate", unallowed("Permessage-Deflate")),
            (
                OFFER,
                "permessage-deflate; x",
                unallowed("permessage-deflate; x"),
            ),
            (
                OFFER,
                "permessage-deflate, x",
                malformed("permessage-deflate, x"),
            ),
            (
                OFFER,
                "permessage-deflate;",
                malformed("permessage-deflate;"),
            ),
            (
                OFFER,
                "permessage-deflate\r\nSec-WebSocket-Extensions:",
                malformed(deflate),
            ),
            ("x", deflate, unallowed(deflate)),
            ("permessage-deflate; x", deflate, unallowed(deflate)),
            ("", deflate, unallowed(deflate)),
        ] {
            let offered = format!("Sec-WebSocket-Extensions: {offered}");
            let answered = format!("Sec-WebSocket-Extensions: {answered}");
            assert_eq!(
                checked(&offered, &answered),
                expected,
                "{offered}; {answered}"
            );
        }
    }
}
