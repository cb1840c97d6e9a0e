//! The reverse-proxy product: a WebSocket service behind the gateway. Here is what a handshake
//! carries from one leg to the other. Pure: no connections, only header fields.

mod acceptance;
mod end_to_end;
mod extensions;
mod forwarded;
mod handshake_failure;
mod hop;
mod offer;
mod refusal;
mod upstream_request;

#[expect(unused_imports, reason = "the wiring of the product uses it")]
pub(crate) use self::{
    acceptance::{Acceptance, AnswerFault, check_upgrade},
    handshake_failure::HandshakeFailure,
    hop::Hop,
    offer::Offer,
    refusal::refusal_reply,
    upstream_request::{HostHeader, UpstreamRequest, upstream_request},
};
