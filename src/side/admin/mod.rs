//! The admin listener: answers operators and their tools over HTTP, on the thread `control`.

mod api;
mod control;
mod dashboard;
mod guard;
mod live;
mod logins;
mod metrics;
mod probes;
mod problem;
mod router;
mod serve;
mod tell;
mod token;

pub(super) use self::control::Control;
pub use self::control::PolicyRefused;
pub(super) use self::live::Live;
pub(super) use self::logins::Logins;
pub(super) use self::router::start;
pub use self::token::Token;
