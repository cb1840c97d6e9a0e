//! Requests to external servers, for webhooks and alerts.

mod connector;
mod egress;
mod http;
mod reply;

pub(super) use self::egress::Egress;
pub(super) use self::http::Http;
pub use self::http::check_certificates;
pub(super) use self::reply::Reply;
