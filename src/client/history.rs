//! What a client remembers of connections that ended, and its report about them.

use super::connection_end::ConnectionEnd;
use super::watchdog::SilenceWatchdog;
use crate::base::time::Micros;
use crate::pulse::{
    ClientCondition, ClientRuntime, ClientStart, EndedReport, FailureClass, NetworkChange,
    NetworkKind, PageState, REPORT_BYTES_MAX, REPORT_ENDED_MAX, REPORT_TRIES_MAX, Report,
    ReportedEnd, ReportedRtt, ReportedTry, TryFailure, TryPhase, report_frame,
};
use std::collections::VecDeque;

/// The most ends that are remembered.
const ENDED_MAX: usize = 12;

/// `{"report":`, `}` and the escape byte.
const WRAPPING: usize = 12;

/// An end that is remembered, with the times of the client's clock.
#[derive(Debug, Clone)]
pub(super) struct PastEnd {
    pub(super) end: ConnectionEnd,
    /// Whether the connection was open; otherwise a try has failed.
    pub(super) was_up: bool,
    pub(super) conn: Option<Box<str>>,
    pub(super) is_watchdog: bool,
    pub(super) is_timeout: bool,
    pub(super) is_local: bool,
    pub(super) is_offline: bool,
    pub(super) condition: ClientCondition,
    /// The kind of network that the connection was opened on, if it was known.
    pub(super) net: Option<NetworkKind>,
    pub(super) tried_at: Micros,
    pub(super) opened_at: Option<Micros>,
    pub(super) at: Micros,
    pub(super) dog: Option<SilenceWatchdog>,
    pub(super) class: Option<FailureClass>,
}

/// The last ends, the newest first; at most twelve.
#[derive(Debug, Default)]
pub(super) struct EndHistory {
    ends: VecDeque<PastEnd>,
    /// The connection that an earlier process of the program has left behind.
    earlier: Option<Box<str>>,
}

impl EndHistory {
    /// Returns the history of a process that has just started.
    pub(super) fn new(earlier: Option<Box<str>>) -> Self {
        EndHistory {
            ends: VecDeque::new(),
            earlier,
        }
    }

    pub(super) fn note(&mut self, end: PastEnd) {
        self.ends.truncate(ENDED_MAX - 1);
        self.ends.push_front(end);
    }

    /// Forgets all ends, and returns the frame that reports them in at most `most` bytes of JSON;
    /// `None` if there is nothing to report, or no room.
    pub(super) fn take_report(
        &mut self,
        now: Micros,
        net: Option<NetworkKind>,
        most: u64,
    ) -> Option<String> {
        if self.ends.is_empty() && self.earlier.is_none() || most == 0 {
            return None;
        }
        let ends = std::mem::take(&mut self.ends);
        let earlier = self.earlier.take();
        let start = match earlier {
            Some(_) => ClientStart::New,
            None => ClientStart::Same,
        };
        let most = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(REPORT_BYTES_MAX);
        let mut ended = describe_all(&ends, earlier, now, net);
        while !ended.is_empty() {
            let report = Report {
                v: 1,
                rt: ClientRuntime::Rust,
                lib: env!("CARGO_PKG_VERSION").into(),
                start,
                ended,
            };
            let frame = report_frame(&report);
            if frame.len() <= most + WRAPPING {
                return Some(frame);
            }
            ended = report.ended;
            ended.pop();
        }
        None
    }
}

fn describe_all(
    ends: &VecDeque<PastEnd>,
    earlier: Option<Box<str>>,
    now: Micros,
    net: Option<NetworkKind>,
) -> Vec<EndedReport> {
    let mut ended = Vec::new();
    let mut tries = VecDeque::new();
    for end in ends {
        if end.was_up {
            let tries = std::mem::take(&mut tries);
            ended.push(describe(end, now, net, last_of(tries)));
        } else {
            tries.push_front(describe_try(end, now));
        }
    }
    if let Some(conn) = earlier {
        // It ended before this process began its first try; nothing else is known of its end.
        let tried_at = ends.back().map_or(now, |first| first.tried_at);
        ended.push(EndedReport {
            conn: Some(conn),
            ended_ago: (now - tried_at).as_millis(),
            tries: last_of(tries),
            ..nothing_known()
        });
    } else if let Some(first) = ends.back()
        && ended.is_empty()
    {
        ended.push(EndedReport {
            end: ReportedEnd::NeverOpen,
            ended_ago: (now - first.at).as_millis(),
            class: first.class,
            tries: last_of(tries),
            ..nothing_known()
        });
    }
    ended.truncate(REPORT_ENDED_MAX);
    ended
}

/// Returns the last tries, as many as a report has.
fn last_of(tries: VecDeque<ReportedTry>) -> Vec<ReportedTry> {
    let skipped = tries.len().saturating_sub(REPORT_TRIES_MAX);
    tries.into_iter().skip(skipped).collect()
}

const fn nothing_known() -> EndedReport {
    EndedReport {
        conn: None,
        end: ReportedEnd::Error,
        code: None,
        opened_ago: None,
        heard_ago: None,
        ended_ago: 0,
        clock_gap: None,
        pings: None,
        rtt: None,
        net: None,
        page: None,
        class: None,
        tries: Vec::new(),
    }
}

fn describe(
    end: &PastEnd,
    now: Micros,
    net: Option<NetworkKind>,
    tries: Vec<ReportedTry>,
) -> EndedReport {
    let ago = |at: Micros| (now - at).as_millis();
    let dog = end.dog.as_ref();
    let networks = end.net.zip(net);
    EndedReport {
        conn: end.conn.clone(),
        end: cause(end),
        code: Some(end.end.code),
        opened_ago: end.opened_at.map(ago),
        heard_ago: dog.map(|dog| ago(dog.heard_at())),
        ended_ago: ago(end.at),
        clock_gap: dog.and_then(|dog| dog.gap()).map(Micros::as_millis),
        pings: dog.map(SilenceWatchdog::pings),
        rtt: dog.and_then(|dog| summary(dog.rtts())),
        net: networks.map(|(then, now)| NetworkChange { then, now }),
        page: end
            .condition
            .vis
            .map(|vis| PageState { vis, frozen: false }),
        class: end.class,
        tries,
    }
}

fn cause(end: &PastEnd) -> ReportedEnd {
    let has_slept = end.dog.as_ref().is_some_and(SilenceWatchdog::has_slept);
    if end.is_local {
        ReportedEnd::Local
    } else if end.is_offline {
        ReportedEnd::Offline
    } else if end.is_watchdog && has_slept {
        ReportedEnd::Sleep
    } else if end.is_watchdog {
        ReportedEnd::Watchdog
    } else if end.end.is_clean {
        ReportedEnd::Close
    } else {
        ReportedEnd::Error
    }
}

fn describe_try(end: &PastEnd, now: Micros) -> ReportedTry {
    let failure = match end.is_timeout {
        true => TryFailure::Timeout,
        false => end.end.failure,
    };
    let phase = end.opened_at.map(|_| TryPhase::Hello);
    ReportedTry {
        ago: (now - end.tried_at).as_millis(),
        phase: phase.or(end.end.phase),
        ms: (end.at - end.tried_at).as_millis(),
        why: Some(failure),
    }
}

fn summary(rtts: &[Micros]) -> Option<ReportedRtt> {
    let mut sorted: Vec<u64> = rtts.iter().map(|rtt| rtt.as_millis()).collect();
    sorted.sort_unstable();
    let p50 = sorted.get(sorted.len() / 2).copied()?;
    let max = sorted.last().copied()?;
    Some(ReportedRtt { p50, max })
}
