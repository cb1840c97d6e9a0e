//! The tables that the relay keeps besides its sessions.

mod expired_peers;
mod introductions;
mod partial_texts;
mod paused_apps;
mod scan_state;
mod start_limiter;
mod task_queue;

pub(crate) use self::expired_peers::ExpiredSender;
pub use self::expired_peers::{ExpiredPeer, ExpiredReceiver};
pub(in crate::relay) use self::introductions::{AppHeaders, Introduction, PendingIntroductions};
pub(in crate::relay) use self::partial_texts::{
    PartialText, PartialTexts, ReadMessage, TextFields,
};
pub(in crate::relay) use self::paused_apps::{GlassesRoom, PausedApps};
pub(in crate::relay) use self::scan_state::{ScanCursor, ScanState};
pub(in crate::relay) use self::start_limiter::StartLimiter;
pub(in crate::relay) use self::task_queue::{EndedSession, RelayTask, TaskQueue};
