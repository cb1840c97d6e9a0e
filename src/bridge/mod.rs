//! The reverse-proxy product: WebSocket services behind the gateway. Each client is linked to a
//! connection to an upstream.

mod acceptance;
mod admission;
mod age_limits;
mod asked_clients;
mod balance;
mod block_shares;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod bridge;
mod counting;
mod end_to_end;
mod extensions;
mod forwarded;
mod frozen;
mod gateway_path;
mod handshake_failure;
mod handshake_stats;
mod health_check;
mod hop;
mod http_requests;
mod known_addresses;
mod leaving_walk;
mod leg_changes;
mod offer;
mod pair_ends;
mod pair_forecast;
mod pair_stats;
mod pending;
mod plain_http;
mod planned_ends;
mod queue_lane;
mod queue_service;
mod queueing;
mod readiness;
mod recent_blocks;
mod refusal;
mod request_key;
mod request_queue;
mod request_refusals;
mod requests;
mod route;
mod route_identity;
mod route_table;
mod sessions;
mod sticky;
mod upstream;
mod upstream_checks;
mod upstream_drains;
mod upstream_request;
mod upstream_row;
mod upstreams;

pub(crate) use self::admission::Admitted;
pub use self::balance::Balance;
pub use self::bridge::{BRIDGE_CLASSES, Bridge, BridgeOptions};
pub(crate) use self::frozen::is_service_unresponsive;
pub use self::handshake_stats::{HandshakeResult, HandshakeStats};
pub use self::health_check::{HealthCheck, UpstreamNumber};
pub use self::http_requests::{HttpRequestRow, HttpTicket};
pub use self::pair_forecast::{PairFate, PairForecast};
pub use self::pair_stats::{PairStats, RouteStats};
pub use self::plain_http::{HttpChoice, HttpTarget, HttpUpstream};
pub use self::request_key::RequestKey;
pub use self::route::{Route, RouteHealth};
pub use self::route_identity::{RouteAuth, RouteIdentity};
pub use self::sessions::{PulseSessionRow, SessionLimits};
pub use self::sticky::{SameSite, SecureCookie, StickyCookie};
pub use self::upstream::{UpstreamUrl, WeightedUpstream};
pub use self::upstream_request::HostHeader;
pub(crate) use self::upstream_request::PassedHead;
pub use self::upstream_row::{UpstreamCondition, UpstreamRow};
