//! What any product on the loop needs: classes, identities, credentials, blocks, histories, lists
//! of connections, drains of a class.

mod auth;
mod blocks;
mod boot_id;
mod class_drain;
mod classes;
mod client_check;
mod closed_conns;
mod cohort_scan;
mod events;
mod flapping;
mod history;
mod identity;
mod ignored_forwarding;
mod listing;
mod living_sample;
mod logfmt;
#[cfg(test)]
pub(crate) mod mutation;
mod names;
mod pair_target;
mod product;
mod proxy;
mod pulse;
mod reconnects;
mod reports;
mod spread_close;
mod subprotocols;
mod throttle_log;
mod user_agents;
mod verdicts;

pub use self::auth::{
    APPS_MAX, Admission, AppRegistry, AppRegistryError, Credentials, PostSigner, TokenFault,
    WebOrigin, is_url,
};
pub(crate) use self::auth::{Claims, foreign_origin, format_rfc3339};
pub(crate) use self::blocks::Blocks;
pub use self::blocks::{BLOCKS_MAX, BlockPlace, BlockPosition};
pub use self::boot_id::BootId;
pub(crate) use self::class_drain::ClassDrain;
pub use self::classes::{ClassInfo, Classes};
pub(crate) use self::classes::{ending_side, first_end};
pub use self::client_check::{ClientCheck, ConnectLimit};
pub(crate) use self::closed_conns::ClosedSender;
pub use self::closed_conns::{CLOSED_MAX, ClosedConn, ClosedReceiver};
pub use self::cohort_scan::{CohortFilter, CohortPage, CohortScan};
pub(crate) use self::events::EventSender;
pub use self::events::{ClosedEvent, Event, EventKind, EventReceiver, EventSubject};
pub(crate) use self::flapping::Flapping;
pub(crate) use self::history::Histories;
pub use self::history::{HISTORIES_MAX, History, HistoryReason, StateChange};
pub use self::identity::Identity;
pub(crate) use self::ignored_forwarding::IgnoredForwarding;
pub(crate) use self::listing::Directory;
pub use self::listing::{
    ConnPage, ConnRow, ConnState, Filter, PAGE_MAX, PageRequest, Position, Search, Sort,
};
pub(crate) use self::living_sample::{LivingConn, LivingScan};
#[cfg(feature = "gateway")]
pub(crate) use self::logfmt::LogText;
pub(crate) use self::logfmt::{LogIdentity, LogReason, LogUserAgent, LogValue, OrDash};
pub(crate) use self::names::{KEY_MAX, NAME_MAX, ipv6_literal, is_valid_name, retry_after_secs};
pub use self::pair_target::PairTarget;
pub use self::product::{Product, RequestDecision};
pub use self::proxy::Proxies;
pub(crate) use self::pulse::{
    AckWatch, ClientLeg, DueKind, DueQueue, DueTimes, HelloTerms, LineBudget, OpenRefusal,
    SessionWish, TokenTable, WaitingTable, code_of, control_units, ends_session, first_subprotocol,
    heartbeat_text, pulse_policy, query_without_wish, session_wish, wanted_sign,
};
pub use self::pulse::{HoldEnd, NotHeld, ResetReason, SessionCounts};
pub(crate) use self::reports::ReportInbox;
pub use self::reports::{
    ClientReport, PackedReport, PackedTries, ReportCounts, ReportMode, ReportOutcome,
    ReportReceiver, ReportSource, ReportedConn,
};
pub(crate) use self::spread_close::SpreadClose;
pub use self::subprotocols::{AcceptedSubprotocols, Subprotocols};
pub(crate) use self::throttle_log::ThrottleLog;
pub use self::user_agents::{AgentCount, OTHER_USER_AGENT, USER_AGENT_BYTES_MAX, USER_AGENTS_MAX};
pub(crate) use self::user_agents::{UserAgents, normalize_user_agent};
pub(crate) use self::verdicts::VerdictJudge;
pub use self::verdicts::{
    EndFacts, EndKind, EndVerdict, Evidence, JudgedEnd, KernelView, RowWords,
};
