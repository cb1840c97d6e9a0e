//! The join of what a client reports with the gateway's own record of the connection.

use super::super::ended::EndedRing;
use crate::base::address_block::AddressBlock;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::gateway::{ClosedConn, EndVerdict, Evidence, PackedReport, ReportSource};

/// What became of one entry of a report: what it says of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::side) enum JoinOutcome {
    /// It was joined with the record of the connection.
    Joined,
    /// It was joined after the end was counted, 60 s after it: the record and the log have the
    /// verdict of both sides, the counters that of the gateway.
    Late,
    /// There is no record of the connection.
    NoRecord,
    /// The connection belongs to another client.
    Foreign,
    /// The connection was reported before.
    Repeated,
    /// It is about a connection of another gateway, or of an earlier run.
    Elsewhere,
    /// It is about tries none of which has succeeded.
    NeverOpen,
}

impl JoinOutcome {
    /// All outcomes; the position equals the number that `as usize` yields.
    pub(in crate::side) const ALL: [JoinOutcome; 7] = [
        JoinOutcome::Joined,
        JoinOutcome::Late,
        JoinOutcome::NoRecord,
        JoinOutcome::Foreign,
        JoinOutcome::Repeated,
        JoinOutcome::Elsewhere,
        JoinOutcome::NeverOpen,
    ];

    /// Returns the name in metrics.
    pub(in crate::side) const fn name(self) -> &'static str {
        match self {
            JoinOutcome::Joined => "joined",
            JoinOutcome::Late => "late",
            JoinOutcome::NoRecord => "no_record",
            JoinOutcome::Foreign => "foreign",
            JoinOutcome::Repeated => "repeated",
            JoinOutcome::Elsewhere => "elsewhere",
            JoinOutcome::NeverOpen => "never_open",
        }
    }
}

/// Joins an entry with the record of its connection. The report was received at this time, by the
/// clock of the records. Returns the outcome, and the verdict before.
/// `None`: there is no record of the connection yet.
pub(super) fn join(
    ring: &mut EndedRing,
    (source, keeps): (&ReportSource, bool),
    id: ConnId,
    (packed, received): (&PackedReport, Micros),
) -> Option<(JoinOutcome, Option<(u64, EndVerdict)>)> {
    let (number, _) = ring.find(id)?;
    let record = ring.get_mut(number)?;
    if !owns(source, record) {
        return Some((JoinOutcome::Foreign, None));
    }
    let Some(judged) = record.judged else {
        return Some((JoinOutcome::NoRecord, None));
    };
    if judged.evidence == Evidence::Both {
        return Some((JoinOutcome::Repeated, None));
    }
    let ms = |span: Micros| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let after_ms = ms(received - record.at.raw) - ms(record.at.raw - received);
    record.judged = Some(judged.with_report(packed, after_ms));
    if keeps {
        record.report = Some(Box::new(*packed));
    }
    let outcome = match judged.awaits_report {
        true => JoinOutcome::Joined,
        false => JoinOutcome::Late,
    };
    Some((outcome, Some((number, judged.verdict))))
}

/// Returns whether the client that reports is the one that the connection belonged to: it has the
/// same session or the same proved identity. Clients that prove nothing share the account of their
/// address.
fn owns(source: &ReportSource, record: &ClosedConn) -> bool {
    if record.end.class != Some(source.class) {
        return false;
    }
    if record.session.is_some() && record.session == source.session {
        return true;
    }
    let identity = source.identity.as_ref().filter(|_| !source.generated);
    let user = identity.map(|identity| &*identity.user);
    let package = identity.and_then(|identity| identity.package());
    let recorded = record.user.as_deref().filter(|_| !record.generated);
    if user != recorded || identity.is_some() && package != record.package.as_deref() {
        return false;
    }
    let is_proved = identity.is_some_and(|identity| identity.address.is_none());
    match (is_proved, recorded.is_some() && record.address.is_none()) {
        (true, true) => true,
        (false, false) => {
            let route = record.target.as_ref().map(|target| &target.route);
            let block = AddressBlock::of(record.end.peer_addr.ip());
            source.block() == block && source.route.as_ref() == route
        }
        _ => false,
    }
}
