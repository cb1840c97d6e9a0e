//! Requests to external servers, for webhooks and alerts.

mod connector;
mod egress;
mod http;
mod post_result;

pub(super) use self::egress::Egress;
pub(super) use self::http::HttpClient;
pub use self::http::check_certificates;
pub(super) use self::post_result::PostResult;
