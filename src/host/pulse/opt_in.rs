//! What a request says of pulse: the parameters of the query, which no upstream sees.

use crate::engine::Request;
use crate::wire::http::header::SEC_WEBSOCKET_PROTOCOL;
use crate::wire::http::list_elements;

/// The parameter with which a client asks for pulse.
const PULSE: &str = "pulse=1";

/// The parameter of a client that wants its session back. Its value names the gateway that has the
/// session, so that a balancer can stick to it.
const RESUME: &str = "resume=";

/// What a client that asks for pulse wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionWish {
    /// A new session.
    New,
    /// The session that its first message names.
    Resume,
}

/// Returns what a request asks of pulse; `None`: it is an ordinary WebSocket.
pub(crate) fn session_wish(request: &Request) -> Option<SessionWish> {
    let mut fields = request.query()?.split('&');
    let is_pulse = fields.clone().any(|field| field == PULSE);
    let is_resume = fields.any(|field| field.starts_with(RESUME));
    is_pulse.then_some(match is_resume {
        true => SessionWish::Resume,
        false => SessionWish::New,
    })
}

/// Returns the query that the upstream sees: without the parameters of pulse. `None` if nothing is
/// left.
pub(crate) fn query_without_wish(query: &str) -> Option<String> {
    let is_own = |field: &&str| *field != PULSE && !field.starts_with(RESUME);
    let left: Vec<_> = query.split('&').filter(is_own).collect();
    (!left.is_empty()).then(|| left.join("&"))
}

/// Returns the first subprotocol that a request offers. A client whose WebSocket opens before the
/// upstream has answered gets it.
pub(crate) fn first_subprotocol(request: &Request) -> Option<String> {
    let lines = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let mut offered = lines.iter().flat_map(list_elements);
    let first = offered.next()?;
    String::from_utf8(first.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, fields: &str) -> Request {
        Request::of(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
    }

    #[test]
    fn only_the_exact_parameter_opts_in() {
        for (target, wish) in [
            ("/", None),
            ("/?pulse", None),
            ("/?pulse=0", None),
            ("/?pulse=10", None),
            ("/?impulse=1", None),
            ("/?resume=1a2b3c4d", None),
            ("/?pulse=1", Some(SessionWish::New)),
            ("/?a=b&pulse=1&c", Some(SessionWish::New)),
            ("/?pulse=1&resume=1a2b3c4d", Some(SessionWish::Resume)),
            ("/?resume=&pulse=1", Some(SessionWish::Resume)),
        ] {
            assert_eq!(session_wish(&request(target, "")), wish, "{target}");
        }
    }

    #[test]
    fn the_rest_of_the_query_stays_as_it_is() {
        for (query, left) in [
            ("pulse=1", None),
            ("pulse=1&resume=1a2b3c4d", None),
            ("a=%20&pulse=1&b", Some("a=%20&b")),
            ("a&&pulse=1&", Some("a&&")),
            ("pulse=1&pulse=1&pulses=1", Some("pulses=1")),
        ] {
            assert_eq!(query_without_wish(query).as_deref(), left, "{query}");
        }
    }

    #[test]
    fn the_first_subprotocol_counts() {
        for (fields, first) in [
            ("", None),
            ("Sec-WebSocket-Protocol: a, b\r\n", Some("a")),
            (
                "Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: ,c\r\n",
                Some("c"),
            ),
        ] {
            let request = request("/", fields);
            assert_eq!(first_subprotocol(&request).as_deref(), first, "{fields}");
        }
    }
}
