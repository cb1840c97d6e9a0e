//! What a client offers for its WebSocket: subprotocols and extensions.

use super::extensions::{DeflateParameters, MalformedExtensions, deflate_offers, extensions};
use crate::engine::Request;
use crate::wire::http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use crate::wire::http::{HeaderValue, list_elements};

/// What a client offers for its WebSocket. The upstream may accept nothing else. It is kept until
/// the upstream has answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Offer {
    /// The lines of Sec-WebSocket-Protocol.
    subprotocols: Vec<HeaderValue>,
    deflate: Vec<DeflateParameters>,
}

impl Offer {
    /// Reads what a request offers. Also returns what is offered to the upstream as
    /// Sec-WebSocket-Extensions: permessage-deflate alone, each valid offer of it as it came.
    ///
    /// Reserved bits of other extensions could not be validated. An invalid offer is left out, as
    /// a server must decline it (RFC 7692 §7.1). A malformed field is an error: a server fails the
    /// connection (RFC 6455 §9.1), as the services behind the bridge do.
    pub(super) fn read(
        request: &Request,
    ) -> Result<(Self, Option<HeaderValue>), MalformedExtensions> {
        let headers = request.headers();
        let all = extensions(headers.get_all(SEC_WEBSOCKET_EXTENSIONS))?;
        let (deflate, texts): (Vec<_>, Vec<_>) = deflate_offers(&all).unzip();
        let offered = (!texts.is_empty())
            .then(|| HeaderValue::from_bytes(&texts.join(&b", "[..])).ok())
            .flatten();
        let subprotocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().cloned();
        let offer = Offer {
            subprotocols: subprotocols.collect(),
            deflate,
        };
        Ok((offer, offered))
    }

    /// Returns the offer without extensions.
    pub(super) fn without_extensions(self) -> Self {
        Offer {
            deflate: Vec::new(),
            ..self
        }
    }

    /// Returns whether this subprotocol is offered, byte by byte.
    pub(super) fn has_subprotocol(&self, subprotocol: &[u8]) -> bool {
        let mut lines = self.subprotocols.iter();
        lines.any(|line| list_elements(line).any(|offered| offered == subprotocol))
    }

    /// Returns whether an offer of permessage-deflate allows this answer.
    pub(super) fn allows(&self, answer: &DeflateParameters) -> bool {
        self.deflate.iter().any(|offer| offer.allows(answer))
    }
}
