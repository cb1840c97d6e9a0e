//! The result of a post.

/// The result of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::side) enum PostResult {
    /// The server answered with 2xx.
    Answered(u16),
    /// The server answered with another status.
    Refused(u16),
    /// The server did not answer in time.
    Timeout,
    /// The server could not be reached, or the connection broke; the reason.
    Unreachable(Box<str>),
    /// The gateway could not send the request, for a reason of its own, which is given here.
    Unsent(&'static str),
}

impl PostResult {
    /// Returns the error for the operator; `None` if there was none.
    pub(in crate::side) fn error(&self) -> Option<Box<str>> {
        match self {
            PostResult::Answered(_) => None,
            PostResult::Refused(status) => Some(format!("answered with status {status}").into()),
            PostResult::Timeout => Some("no answer in time".into()),
            PostResult::Unreachable(why) => Some(why.clone()),
            PostResult::Unsent(why) => Some((*why).into()),
        }
    }
}
