//! Reports of clients about connections that ended: what is taken, what is kept, and the queue to
//! the thread that joins them with the gateway's own records.

mod client_report;
mod packed_report;
mod report_inbox;
mod report_mode;

pub use self::client_report::{ClientReport, ReportSource, ReportedConn};
pub use self::packed_report::{PackedReport, PackedTries};
pub(crate) use self::report_inbox::ReportInbox;
pub use self::report_inbox::ReportReceiver;
pub use self::report_mode::{ReportCounts, ReportMode, ReportOutcome};
