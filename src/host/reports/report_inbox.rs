//! Where the products leave the reports of their clients.

use super::client_report::{ClientReport, ReportSource};
use super::report_mode::{ReportMode, ReportOutcome};
use crate::host::boot_id::BootId;
use crate::mail::{self, Limits, LoopSender, Overflow, Receiver};
use crate::pulse::{REPORT_BYTES_MAX, Report};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The limits of the queue; the oldest reports are dropped first.
const LIMITS: Limits = Limits {
    count: 10_000,
    bytes: 8 << 20,
};

/// The reader's end of the queue of reports, for another thread.
pub type ReportReceiver = Receiver<ClientReport>;

/// The loop's end of the queue of reports. All products of a gateway share it.
#[derive(Debug, Clone)]
pub(crate) struct ReportInbox(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    mode: Cell<ReportMode>,
    boot: BootId,
    queue: RefCell<LoopSender<ClientReport>>,
}

impl ReportInbox {
    /// Makes an inbox of this run of the gateway.
    pub(crate) fn new(mode: ReportMode, boot: BootId) -> Self {
        ReportInbox(Rc::new(Shared {
            mode: Cell::new(mode),
            boot,
            queue: RefCell::new(mail::from_loop(LIMITS, Overflow::DropOldest).0),
        }))
    }

    pub(crate) fn receiver(&self) -> ReportReceiver {
        self.0.queue.borrow().receiver()
    }

    /// Sets what is done with reports from now on. Hellos that were sent keep their promise of
    /// room, so that a client may still send one.
    pub(crate) fn set_mode(&self, mode: ReportMode) {
        self.0.mode.set(mode);
    }

    /// Returns the largest report that is taken, in bytes, as the hello promises it; 0: none.
    pub(crate) fn report_bytes(&self) -> u64 {
        match self.0.mode.get() {
            ReportMode::Off => 0,
            ReportMode::Count | ReportMode::Keep => REPORT_BYTES_MAX as u64,
        }
    }

    /// Takes a report; `None` if it is not valid. `source` returns the connection that sent it.
    pub(crate) fn take(
        &self,
        report: Option<&Report>,
        source: impl FnOnce() -> Option<ReportSource>,
    ) -> ReportOutcome {
        let keeps = match self.0.mode.get() {
            ReportMode::Off => return ReportOutcome::Off,
            ReportMode::Count => false,
            ReportMode::Keep => true,
        };
        // A connection without a source is about to end.
        let Some((report, source)) = report.zip(source()) else {
            return ReportOutcome::Invalid;
        };
        let report = ClientReport::new(report, source, keeps, self.0.boot);
        // The newest report always finds room: the oldest ones are dropped, and counted as lost.
        let _ = self.0.queue.borrow_mut().send(report);
        ReportOutcome::Taken
    }
}

impl Default for ReportInbox {
    /// Makes an inbox that takes no reports.
    fn default() -> Self {
        ReportInbox::new(ReportMode::Off, BootId::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ConnId;
    use crate::engine::Class;
    use crate::pulse::ClientFrame;

    fn source() -> Option<ReportSource> {
        Some(ReportSource {
            id: ConnId::new(1, 1),
            class: Class(0),
            identity: None,
            generated: false,
            address: [192, 0, 2, 1].into(),
            session: None,
            route: None,
        })
    }

    fn report() -> Box<Report> {
        let json = r#"{"report":{"v":1,"rt":"rust","lib":"1","start":"same",
            "ended":[{"conn":"00000000.1.2","end":"error","ended_ago":1}]}}"#;
        match ClientFrame::parse(json) {
            Ok(ClientFrame::Report(Some(report))) => report,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_mode_says_what_is_promised_and_taken() {
        for (mode, bytes, outcome, kept) in [
            (ReportMode::Off, 0, ReportOutcome::Off, vec![]),
            (ReportMode::Count, 2_048, ReportOutcome::Taken, vec![false]),
            (ReportMode::Keep, 2_048, ReportOutcome::Taken, vec![true]),
        ] {
            let inbox = ReportInbox::default();
            inbox.set_mode(mode);
            assert_eq!(inbox.report_bytes(), bytes);
            assert_eq!(inbox.take(Some(&report()), source), outcome);
            let taken = inbox.receiver().take();
            assert_eq!(taken.iter().map(|r| r.keeps).collect::<Vec<_>>(), kept);
        }
        let inbox = ReportInbox::new(ReportMode::Keep, BootId::default());
        assert_eq!(inbox.take(None, source), ReportOutcome::Invalid);
        assert_eq!(inbox.take(Some(&report()), || None), ReportOutcome::Invalid);
    }

    #[test]
    fn a_flood_of_reports_is_bounded_and_counted() {
        let inbox = ReportInbox::new(ReportMode::Keep, BootId::default());
        let report = report();
        for _ in 0..LIMITS.count + 500 {
            inbox.take(Some(&report), source);
        }
        let receiver = inbox.receiver();
        assert!(receiver.lost() >= 500, "{}", receiver.lost());
        let taken = receiver.take();
        assert_eq!(
            taken.len() as u64 + receiver.lost(),
            LIMITS.count as u64 + 500
        );
    }
}
