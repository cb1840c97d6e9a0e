//! What becomes of a post.

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::side) enum Reply {
    /// With 2xx.
    Answered(u16),
    /// With another status.
    Refused(u16),
    /// Not in time.
    Timeout,
    /// No connection, or it broke; why.
    Unreachable(Box<str>),
    /// The gateway could not send it, whatever the server is like; why.
    Unsent(&'static str),
}

impl Reply {
    /// What was wrong, if anything; for the operator.
    pub(in crate::side) fn error(&self) -> Option<Box<str>> {
        match self {
            Reply::Answered(_) => None,
            Reply::Refused(status) => Some(format!("answered with status {status}").into()),
            Reply::Timeout => Some("no answer in time".into()),
            Reply::Unreachable(why) => Some(why.clone()),
            Reply::Unsent(why) => Some((*why).into()),
        }
    }
}
