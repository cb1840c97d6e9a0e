//! The host of the loop in the binary. It combines the relay and further products with what every
//! product needs.

mod errands;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod gateway;
mod handler;
mod operator;
mod report;
mod roster;

pub use self::gateway::{Desk, Gateway, Options, Watchdog, Work};
pub use self::operator::{BlockSlice, FLAPPING_MAX, Kick, Portrait, Reconfiguration, Snapshot};
pub use self::roster::{
    APPS_NAMED, AppRow, SUBSCRIPTIONS_NAMED, SessionRow, SessionSlice, SlotRow,
};
pub use crate::host::{
    APPS_MAX, AcceptedSubprotocols, Admission, AgentCount, Apps, AppsError, Asked, BLOCKS_MAX,
    BlockPlace, CLOSED_MAX, Change, ClassInfo, Classes, Closed, ClosedBox, ConnState, Credentials,
    Filter, HISTORIES_MAX, History, Identity, OTHER_USER_AGENT, PAGE_MAX, Page, Position, Product,
    Query, Reason, Row, Search, Sort, Subprotocols, TokenFault, USER_AGENT_BYTES_MAX,
    USER_AGENTS_MAX, WebOrigin, is_url,
};
pub(crate) use crate::host::{Value, user_agent_as_kept};
pub use crate::query::{Progress, QUERY_UNITS, SLICE_UNITS};
pub use crate::relay::{
    APP, APP_STOPPED, Absence, AppSlot, AppState, AttachKind, CAUSES, DropReason, ExpiredPeer,
    ExpiredReceiver, FLAPPING, GLASSES, Job, JobReceiver, RELAY_CLASSES, RelaySettings, RelayStats,
    ReplayLimits, RetryPolicy, SESSION_ENDED, SESSION_UNKNOWN, Session, SlotDeadline, SlotState,
    SlotView, StartOutcome, StateJob, StopReason, Subscriptions, WebhookJob, is_reserved_reason,
};
pub use crate::transport::ProxyProtocol;
