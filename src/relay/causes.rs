//! The causes for which the relay closes or refuses a connection, besides those of the engine.

use crate::base::cause::{Cause, CauseInfo, EndedBy};

crate::base::cause::causes! {
    /// The table of these causes, for [`Config::causes`](crate::Config::causes).
    pub static CAUSES;
    /// The connection was refused because its identity reconnects too often.
    pub const FLAPPING = CauseInfo::new("flapping", EndedBy::Server, 1013).after(Cause::BLOCKED);
    /// The app's session does not exist, or does not exist yet.
    pub const SESSION_UNKNOWN =
        CauseInfo::new("session_unknown", EndedBy::Server, 1013).after(Cause::FORBIDDEN);
    /// The app was closed because its user's session has ended.
    pub const SESSION_ENDED =
        CauseInfo::new("session_ended", EndedBy::Server, 1000).after(Cause::REPLACED);
    /// The app was closed because its user has stopped it.
    pub const APP_STOPPED =
        CauseInfo::new("app_stopped", EndedBy::Server, 1000).after(Cause::REPLACED);
}
