//! What any product on the loop needs: classes, identities, credentials, blocks, histories, lists
//! of connections, drains of a class.

mod auth;
mod blocks;
mod class_drain;
mod classes;
mod closed;
mod history;
mod identity;
mod listing;
mod logfmt;
#[cfg(test)]
pub(crate) mod mutation;
mod names;
mod product;
mod proxy;
mod subprotocols;
mod throttled;
mod user_agents;

pub(crate) use self::auth::iso;
pub use self::auth::{
    APPS_MAX, Admission, Apps, AppsError, Credentials, TokenFault, WebOrigin, is_url,
};
pub(crate) use self::blocks::Blocks;
pub use self::blocks::{BLOCKS_MAX, BlockPlace};
pub(crate) use self::class_drain::ClassDrain;
pub use self::classes::{ClassInfo, Classes};
pub(crate) use self::closed::ClosedSink;
pub use self::closed::{CLOSED_MAX, Closed, ClosedBox};
pub(crate) use self::history::Histories;
pub use self::history::{Change, HISTORIES_MAX, History, Reason};
pub use self::identity::Identity;
pub(crate) use self::listing::Directory;
pub use self::listing::{ConnState, Filter, PAGE_MAX, Page, Position, Query, Row, Search, Sort};
pub(crate) use self::logfmt::{OrDash, Reason as LoggedReason, UserAgent, UserAndPackage, Value};
pub(crate) use self::names::{KEY_MAX, NAME_MAX, is_name, seconds};
pub use self::product::{Asked, Product};
pub(crate) use self::proxy::Proxies;
pub use self::subprotocols::{AcceptedSubprotocols, Subprotocols};
pub(crate) use self::throttled::Throttled;
pub use self::user_agents::{AgentCount, OTHER_USER_AGENT, USER_AGENT_BYTES_MAX, USER_AGENTS_MAX};
pub(crate) use self::user_agents::{UserAgents, user_agent_as_kept};
