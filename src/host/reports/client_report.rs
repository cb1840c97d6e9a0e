//! A report with the connection that sent it, on its way to the records of ended connections.

use super::packed_report::PackedReport;
use crate::base::address_block::AddressBlock;
use crate::base::id::ConnId;
use crate::base::time::Timestamp;
use crate::engine::Class;
use crate::host::boot_id::BootId;
use crate::host::identity::Identity;
use crate::mail::QueueItem;
use crate::pulse::{REPORT_ENDED_MAX, Report};
use std::net::IpAddr;
use std::sync::Arc;

/// A report of a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientReport {
    /// When it was received. The times in a report count back from here.
    pub at: Timestamp,
    /// The connection that sent it.
    pub source: ReportSource,
    /// Whether what it says is kept.
    pub keeps: bool,
    /// The connections that it is about, the newest first; at most three.
    pub ended: Vec<(ReportedConn, PackedReport)>,
}

/// Which connection an entry of a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportedConn {
    /// A connection of this run of the gateway.
    Known(ConnId),
    /// A connection of another gateway, or of an earlier run.
    Elsewhere,
    /// None: no try to connect has succeeded.
    NeverOpen,
}

/// The connection that sent a report. What it says counts only for connections of the same client.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "the proofs of a client")]
pub struct ReportSource {
    /// The connection.
    pub id: ConnId,
    /// Its class.
    pub class: Class,
    /// The identity, if the client has one.
    pub identity: Option<Identity>,
    /// Whether the gateway generated the user name of the identity, which proves nothing.
    pub generated: bool,
    /// The client's address.
    pub address: IpAddr,
    /// The number of its session on the bridge.
    pub session: Option<u64>,
    /// The name of its route on the bridge.
    pub route: Option<Arc<str>>,
}

impl ReportSource {
    /// Returns the block whose clients share one account: those without a name that anything
    /// proves.
    pub(crate) const fn block(&self) -> AddressBlock {
        AddressBlock::of(self.address)
    }
}

impl ClientReport {
    /// Packs what a report says of each connection.
    #[cfg(test)]
    pub(crate) fn packed(report: &Report) -> Vec<PackedReport> {
        report
            .ended
            .iter()
            .map(|end| PackedReport::of(report, end))
            .collect()
    }

    /// Makes a report of these entries, for tests.
    #[cfg(test)]
    pub(crate) fn of_entries(
        source: ReportSource,
        keeps: bool,
        ended: Vec<(ReportedConn, PackedReport)>,
    ) -> Self {
        let at = Timestamp::now();
        ClientReport {
            at,
            source,
            keeps,
            ended,
        }
    }

    /// Packs a report.
    pub(super) fn new(report: &Report, source: ReportSource, keeps: bool, boot: BootId) -> Self {
        let ended = report.ended.iter().take(REPORT_ENDED_MAX);
        let ended = ended.map(|end| {
            let conn = end.conn.as_deref();
            let conn = conn.map_or(ReportedConn::NeverOpen, |conn| ReportedConn::of(conn, boot));
            (conn, PackedReport::of(report, end))
        });
        ClientReport {
            at: Timestamp::now(),
            source,
            keeps,
            ended: ended.collect(),
        }
    }
}

impl ReportedConn {
    /// Reads the id of a connection as a hello gives it: `BOOT.SLOT.GENERATION`.
    fn of(conn: &str, boot: BootId) -> Self {
        let id = conn
            .split_once('.')
            .filter(|(run, _)| BootId::parse(run.as_bytes()) == Some(boot))
            .and_then(|(_, id)| id.parse().ok());
        id.map_or(ReportedConn::Elsewhere, ReportedConn::Known)
    }
}

impl QueueItem for ClientReport {
    fn bytes(&self) -> usize {
        let identity = self.source.identity.as_ref();
        let names = identity.map_or(0, |identity| {
            identity.user.len() + identity.package().map_or(0, str::len)
        });
        size_of::<Self>()
            + names
            + self.ended.capacity() * size_of::<(ReportedConn, PackedReport)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_a_connection_of_this_run_only() {
        let boot = BootId::parse(b"1a2b3c4d").expect("a boot id");
        for (conn, expected) in [
            ("1a2b3c4d.3.8", ReportedConn::Known(ConnId::new(3, 8))),
            ("1a2b3c4e.3.8", ReportedConn::Elsewhere),
            ("1A2B3C4D.3.8", ReportedConn::Elsewhere),
            ("1a2b3c4d.3", ReportedConn::Elsewhere),
            ("1a2b3c4d.3.8.9", ReportedConn::Elsewhere),
            ("1a2b3c4d.3.-8", ReportedConn::Elsewhere),
            ("1a2b3c4d.3.99999999999", ReportedConn::Elsewhere),
            ("3.8", ReportedConn::Elsewhere),
            ("", ReportedConn::Elsewhere),
        ] {
            assert_eq!(ReportedConn::of(conn, boot), expected, "{conn}");
        }
    }
}
