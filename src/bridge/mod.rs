//! The reverse-proxy product: a WebSocket service behind the gateway. Each client is linked to a
//! connection to the upstream.

mod acceptance;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod bridge;
mod end_to_end;
mod extensions;
mod forwarded;
mod frozen;
mod handshake_failure;
mod hop;
mod offer;
mod pair_ends;
mod refusal;
mod upstream;
mod upstream_request;

pub use self::bridge::{BRIDGE_CLASSES, Bridge, BridgeOptions};
pub(crate) use self::frozen::is_service_unresponsive;
pub use self::upstream::{Upstream, UpstreamUrl};
pub use self::upstream_request::HostHeader;
