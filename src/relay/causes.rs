//! The causes for which the relay closes or refuses a connection, besides those of the engine.

use crate::base::cause::{Cause, CauseInfo, EndedBy};

crate::base::cause::causes! {
    /// The table of these causes, for [`Config::causes`](crate::Config::causes).
    pub static CAUSES;
    /// This identity reconnects too often.
    pub const FLAPPING = CauseInfo::new("flapping", EndedBy::Server, 1013).after(Cause::BLOCKED);
    /// The session is not known, or not known yet.
    pub const SESSION_UNKNOWN =
        CauseInfo::new("session_unknown", EndedBy::Server, 1013).after(Cause::FORBIDDEN);
    /// The user's session has ended.
    pub const SESSION_ENDED = CauseInfo::new("session_ended", EndedBy::Server, 1000).after(Cause::REPLACED);
    /// The user stopped the app.
    pub const APP_STOPPED = CauseInfo::new("app_stopped", EndedBy::Server, 1000).after(Cause::REPLACED);
}
