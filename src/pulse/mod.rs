//! Pulse: a protocol by which a session of a client outlives its connections. This module is pure:
//! the gateway and the Rust client use it alike.
//!
//! Control frames are text messages between the messages of the application. Both sides count the
//! messages and keep those that the other side has not acknowledged. After a loss, the client
//! resumes with a token, and each side sends what the other one has not received. The protocol is
//! specified in `docs/pulse.md`.

mod client_frame;
mod closing_frames;
mod condition;
mod control_text;
mod escape;
mod failure_class;
mod gateway_frame;
mod hello;
mod invalid_control;
mod limits;
mod link_risk;
mod number;
mod received_count;
mod report;
#[cfg(test)]
mod report_fields;
mod resume_token;
mod sent_messages;
mod session;
mod short_text;
mod told_limit;

pub use self::client_frame::{
    ClientFrame, FAREWELL_FRAME, report_frame, resume_frame, state_frame,
};
pub use self::closing_frames::{Bye, Refused, SessionEnd, bye_frame, end_frame, refused_frame};
pub use self::condition::{ClientCondition, NetworkKind, PageVisibility};
pub use self::control_text::ShortControl;
pub use self::escape::{PulseText, escaped};
pub use self::failure_class::FailureClass;
pub use self::gateway_frame::GatewayFrame;
pub use self::hello::{Hello, RetryHint, hello_frame};
pub use self::invalid_control::InvalidControl;
pub use self::limits::{
    ACK_BYTES, ACK_MESSAGES, BIG_BYTES, CONTROL_BYTES_MAX, ESCAPE, LEDGER_MARGIN_BYTES, NUMBER_MAX,
    PULSE_VERSION, REPORT_BYTES_MAX,
};
pub use self::link_risk::LinkRisk;
pub use self::received_count::ReceivedCount;
pub use self::report::{
    ClientRuntime, ClientStart, EndedReport, NetworkChange, PageState, PingCounts,
    REPORT_ENDED_MAX, REPORT_TRIES_MAX, Report, ReportedEnd, ReportedRtt, ReportedTry, TryFailure,
    TryPhase,
};
pub use self::resume_token::{InvalidToken, OpaqueToken, ResumeToken, TokenPair};
pub use self::sent_messages::{
    InvalidAck, LedgerEntry, LedgerFull, SENT_MESSAGES_MAX, SentMessages,
};
pub use self::session::{FrameEffect, PulseSession, ResumeError, SessionFault, SessionLoss};
pub use self::told_limit::IgnoredFrame;
