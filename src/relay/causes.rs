//! The causes for which the relay closes or refuses a connection, besides those of the engine.

use crate::base::cause::{By, Cause, CauseInfo};

crate::base::cause::causes! {
    /// The table of these causes, for [`Config::causes`](crate::Config::causes).
    pub static CAUSES;
    /// This identity reconnects too often.
    pub const FLAPPING = CauseInfo::new("flapping", By::Us, 1013).after(Cause::BLOCKED);
    /// The session is not known, or not known yet.
    pub const SESSION_UNKNOWN =
        CauseInfo::new("session_unknown", By::Us, 1013).after(Cause::FORBIDDEN);
    /// The user's session has ended.
    pub const SESSION_ENDED = CauseInfo::new("session_ended", By::Us, 1000).after(Cause::REPLACED);
    /// The user stopped the app.
    pub const APP_STOPPED = CauseInfo::new("app_stopped", By::Us, 1000).after(Cause::REPLACED);
}
