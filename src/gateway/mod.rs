//! The host of the loop in the binary. It combines the relay and further products with what every
//! product needs.

mod block_scan;
mod client_files;
mod ended_legs;
mod ends;
mod event_log;
mod events;
mod foresight;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod gateway;
mod handler;
mod jobs;
mod kick_outcome;
mod line_limiter;
mod log_ties;
mod operator;
mod plain_http;
mod products;
mod pulse_sessions;
mod request_checks;
mod session_list;
mod unserved;

pub use self::foresight::{ALARMED_MAX, ForesightMark, ForesightSnapshot};
pub use self::gateway::{Gateway, GatewayOptions, GatewayQueries, GatewaySlicedQuery, Watchdog};
pub use self::kick_outcome::{KickOutcome, NotBlocked};
pub use self::operator::{BlockSlice, ConnSnapshot, FLAPPING_MAX, Reconfiguration, Snapshot};
pub use self::session_list::{
    AppRow, LISTED_APPS_MAX, LISTED_SUBSCRIPTIONS_MAX, SessionRow, SessionSlice, SlotRow,
};
pub(crate) use crate::bridge::{Admitted, PassedHead, is_service_unresponsive};
pub use crate::bridge::{
    BRIDGE_CLASSES, Balance, Bridge, BridgeOptions, HandshakeResult, HandshakeStats, HealthCheck,
    HostHeader, HttpChoice, HttpRequestRow, HttpTarget, HttpTicket, HttpUpstream, PairFate,
    PairForecast, PairStats, PulseSessionRow, RequestKey, Route, RouteAuth, RouteHealth,
    RouteIdentity, RouteStats, SameSite, SecureCookie, SessionLimits, StickyCookie,
    UpstreamCondition, UpstreamNumber, UpstreamRow, UpstreamUrl, WeightedUpstream,
};
pub use crate::host::PostSigner;
pub use crate::host::{
    APPS_MAX, AcceptedSubprotocols, Admission, AgentCount, AppRegistry, AppRegistryError,
    BLOCKS_MAX, BlockPlace, BlockPosition, BootId, CLOSED_MAX, ClassInfo, Classes, ClientCheck,
    ClientReport, ClosedConn, ClosedEvent, ClosedReceiver, CohortFilter, CohortPage, CohortScan,
    ConnPage, ConnRow, ConnState, ConnectLimit, Credentials, EndFacts, EndKind, EndVerdict, Event,
    EventKind, EventReceiver, EventSubject, Evidence, Filter, HISTORIES_MAX, History,
    HistoryReason, HoldEnd, Identity, JudgedEnd, KernelView, NotHeld, OTHER_USER_AGENT, PAGE_MAX,
    PackedReport, PackedTries, PageRequest, PairTarget, Position, Product, Proxies, ReportCounts,
    ReportMode, ReportOutcome, ReportReceiver, ReportSource, ReportedConn, RequestDecision,
    ResetReason, RowWords, Search, SessionCounts, Sort, StateChange, Subprotocols, TokenFault,
    USER_AGENT_BYTES_MAX, USER_AGENTS_MAX, WebOrigin, is_url,
};
pub(crate) use crate::host::{LivingConn, LivingScan, ipv6_literal};
pub(crate) use crate::host::{LogValue, normalize_user_agent};
pub use crate::query::{Progress, QUERY_UNITS, SLICE_UNITS};
pub use crate::relay::{
    APP, APP_STOPPED, Absence, AppSlot, AppState, AttachKind, CAUSES, DropReason, ExpiredPeer,
    ExpiredReceiver, FLAPPING, GLASSES, Job, JobReceiver, RELAY_CLASSES, RelaySettings, RelayStats,
    ReplayLimits, RetryPolicy, SESSION_ENDED, SESSION_UNKNOWN, Session, SlotDeadline, SlotState,
    SlotView, StartOutcome, StateJob, StopReason, Subscriptions, WebhookJob, is_reserved_reason,
};
pub use crate::transport::ProxyProtocol;
