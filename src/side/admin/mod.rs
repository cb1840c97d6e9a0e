//! The admin listener: answers operators and their tools over HTTP, on the thread `control`.

mod admin_state;
mod admin_token;
mod api;
mod dashboard;
mod event_stream;
mod failed_logins;
mod guard;
mod live_publisher;
mod live_stream;
mod metrics;
mod probes;
mod problem;
mod router;
mod serve;

pub(super) use self::admin_state::AdminState;
pub use self::admin_state::PolicyRefused;
pub use self::admin_token::AdminToken;
pub(super) use self::event_stream::EventStreams;
pub(super) use self::failed_logins::FailedLogins;
pub(super) use self::live_stream::LiveStream;
pub(super) use self::router::start;
