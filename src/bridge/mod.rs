//! The reverse-proxy product: WebSocket services behind the gateway. Each client is linked to a
//! connection to an upstream.

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
mod known_addresses;
mod offer;
mod pair_ends;
mod pending;
mod refusal;
mod route;
mod route_table;
mod upstream;
mod upstream_request;
mod upstreams;

pub use self::bridge::{BRIDGE_CLASSES, Bridge, BridgeOptions};
pub(crate) use self::frozen::is_service_unresponsive;
pub use self::route::Route;
pub use self::upstream::{UpstreamUrl, WeightedUpstream};
pub use self::upstream_request::HostHeader;
