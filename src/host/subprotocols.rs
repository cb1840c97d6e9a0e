//! Choice of a subprotocol from a client's offer (RFC 6455 §1.9).

use crate::engine::{Reply, Request};

/// The subprotocols of one class of peers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subprotocols {
    /// The subprotocols that are accepted, or any.
    pub accepted: AcceptedSubprotocols,
    /// Whether a request that offers no accepted subprotocol is refused.
    pub required: bool,
}

/// The subprotocols that are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AcceptedSubprotocols {
    /// Any subprotocol is accepted, and the client's first offer is chosen: browsers and npm `ws`
    /// drop a connection if the server chooses none of their offers.
    #[default]
    Any,
    /// Only these are accepted, in order of preference; an empty list accepts none.
    Only(Vec<Box<str>>),
}

impl Subprotocols {
    /// Chooses from the client's offer; `None` if it offers nothing that is accepted.
    ///
    /// # Errors
    /// The refusal of a request that offers nothing accepted, if a subprotocol is required.
    pub(crate) fn choose(&self, request: &Request) -> Result<Option<String>, Reply> {
        let chosen = match &self.accepted {
            AcceptedSubprotocols::Any => request.protocols().next(),
            AcceptedSubprotocols::Only(accepted) => accepted
                .iter()
                .map(Box::as_ref)
                .find(|accepted| request.protocols().any(|offer| offer == *accepted)),
        };
        match chosen {
            None if self.required => Err(Reply::error(400, &self.refusal(request))),
            chosen => Ok(chosen.map(str::to_owned)),
        }
    }

    fn refusal(&self, request: &Request) -> String {
        let why = match request.protocols().next() {
            Some(_) => "none of the offered subprotocols is accepted",
            None => "a subprotocol is required, and the request offers none",
        };
        match &self.accepted {
            AcceptedSubprotocols::Any => why.to_owned(),
            AcceptedSubprotocols::Only(accepted) => {
                format!("{why}; accepted: {}", accepted.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(accepted: &[&str], required: bool, offers: &[&str]) -> Result<Option<String>, Reply> {
        let accepted = match accepted {
            ["any"] => AcceptedSubprotocols::Any,
            list => AcceptedSubprotocols::Only(list.iter().map(|one| Box::from(*one)).collect()),
        };
        let lines: String = offers
            .iter()
            .map(|offer| format!("Sec-WebSocket-Protocol: {offer}\r\n"))
            .collect();
        let request = Request::of(&format!(
            "GET /glasses-ws HTTP/1.1\r\nHost: a\r\n{lines}\r\n"
        ));
        Subprotocols { accepted, required }.choose(&request)
    }

    #[test]
    fn one_of_the_offer_is_chosen_by_the_gateways_preference() {
        for (accepted, offers, chosen) in [
            (&["any"][..], &["b, a"][..], Some("b")),
            (&["any"], &["no token(), a"], Some("a")),
            (&["any"], &[], None),
            (&["a", "b"], &["b, a"], Some("a")),
            (&["a", "b"], &["b"], Some("b")),
            (&["a", "b"], &["c", "x,\tb"], Some("b")),
            (&["a", "b"], &["c"], None),
            (&["a"], &["A"], None),
            (&["a"], &[], None),
            (&[], &["a"], None),
        ] {
            let got = choose(accepted, false, offers).expect("no refusal");
            assert_eq!(got.as_deref(), chosen, "{accepted:?} {offers:?}");
            if chosen.is_some() {
                let got = choose(accepted, true, offers).expect("no refusal");
                assert_eq!(got.as_deref(), chosen, "{accepted:?} {offers:?}");
            }
        }
    }

    #[test]
    fn where_one_is_required_a_request_without_it_is_refused_and_told_so() {
        let refusal = |accepted: &[&str], offers: &[&str]| {
            let reply = choose(accepted, true, offers).expect_err("a refusal");
            assert_eq!(reply.status, 400);
            reply.reason.to_string()
        };
        assert_eq!(
            refusal(&["a", "b"], &["c"]),
            "none of the offered subprotocols is accepted; accepted: a, b"
        );
        assert_eq!(
            refusal(&["a"], &[]),
            "a subprotocol is required, and the request offers none; accepted: a"
        );
        assert_eq!(
            refusal(&["any"], &[]),
            "a subprotocol is required, and the request offers none"
        );
    }
}
