//! Plain HTTP on the port of the WebSockets: the thread that passes requests to the upstreams.
//!
//! The loop hands a connection over when its request is plain HTTP that a route serves. hyper
//! speaks HTTP to the client and to the upstream. Before hyper sees a byte, [`client_stream`] reads
//! the request with the loop's own parser, which refuses what could be read in two ways. It stops
//! at a WebSocket request: the connection then goes back to the loop with all bytes that were not
//! processed.

mod answer_body;
mod answer_wait;
mod answers;
mod attempts;
mod client_state;
mod client_stream;
mod connection;
mod drain_plan;
mod failure_log;
mod http_context;
mod http_settings;
mod http_stats;
mod linger;
mod request_body;
mod request_limits;
mod request_service;
mod server;
mod source_addresses;
mod upstream_answer;
mod upstream_conn;
mod upstream_pool;

pub use self::drain_plan::HttpDrain;
pub(super) use self::http_context::HttpContext;
pub use self::http_settings::HttpSettings;
pub(super) use self::http_stats::{CODE_CLASSES, HttpStats};
pub(super) use self::request_limits::END_CAUSES;
pub(super) use self::server::serve;
