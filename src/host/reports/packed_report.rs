//! What a client says of the end of one connection, in at most 64 bytes.

use crate::pulse::{
    ClientRuntime, ClientStart, EndedReport, FailureClass, NetworkKind, PageVisibility, Report,
    ReportedEnd, TryFailure, TryPhase,
};

/// What a client says of the end of one connection. Times are in milliseconds before the report
/// was received, 49 days at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackedReport {
    opened_ago: Millis,
    heard_ago: Millis,
    ended_ago: u32,
    clock_gap: Millis,
    rtt: Option<(u16, u16)>,
    pings: Option<(u16, u16)>,
    /// The close code, if there was one.
    pub code: Option<u16>,
    /// What the client runs on.
    pub runtime: ClientRuntime,
    /// Whether the program has started anew since.
    pub start: ClientStart,
    /// How the connection ended.
    pub end: ReportedEnd,
    /// The network, when the connection ended and at the time of the report.
    pub net: Option<(NetworkKind, NetworkKind)>,
    /// Whether the user saw the page.
    pub visibility: Option<PageVisibility>,
    /// Whether the browser had frozen the page.
    pub is_frozen: bool,
    /// The class by which the client chose its schedule.
    pub class: Option<FailureClass>,
    /// The tries to come back.
    pub tries: PackedTries,
}

/// The tries of a client to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PackedTries {
    /// How many there were; eight at most.
    pub count: u8,
    /// How many of them ended in each phase that the client knows, by [`TryPhase`].
    phases: [u8; PHASES.len()],
    /// How long the first one took, in milliseconds.
    pub first_ms: u32,
    /// Why the first one failed.
    pub first_why: Option<TryFailure>,
}

const _: () = assert!(size_of::<PackedReport>() <= 64);

const PHASES: [TryPhase; 5] = [
    TryPhase::Dns,
    TryPhase::Tcp,
    TryPhase::Tls,
    TryPhase::Http,
    TryPhase::Hello,
];

/// A number of milliseconds in 32 bits, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Millis(u32);

impl Millis {
    const NONE: u32 = u32::MAX;

    fn of(ms: Option<u64>) -> Self {
        Millis(ms.map_or(Self::NONE, |ms| saturated(ms).min(Self::NONE - 1)))
    }

    fn get(self) -> Option<u64> {
        (self.0 != Self::NONE).then_some(self.0.into())
    }
}

fn saturated(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

fn short(count: u64) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

impl PackedReport {
    /// Packs what a report says of one connection.
    pub(super) fn of(report: &Report, ended: &EndedReport) -> Self {
        PackedReport {
            opened_ago: Millis::of(ended.opened_ago),
            heard_ago: Millis::of(ended.heard_ago),
            ended_ago: saturated(ended.ended_ago),
            clock_gap: Millis::of(ended.clock_gap),
            rtt: ended.rtt.map(|rtt| (short(rtt.p50), short(rtt.max))),
            pings: ended
                .pings
                .map(|pings| (short(pings.seen), short(pings.late))),
            code: ended.code,
            runtime: report.rt,
            start: report.start,
            end: ended.end,
            net: ended.net.map(|net| (net.then, net.now)),
            visibility: ended.page.map(|page| page.vis),
            is_frozen: ended.page.is_some_and(|page| page.frozen),
            class: ended.class,
            tries: PackedTries::of(ended),
        }
    }

    /// Returns when the connection was opened, in milliseconds before the report.
    pub fn opened_ago(&self) -> Option<u64> {
        self.opened_ago.get()
    }

    /// Returns when the client heard something last, in milliseconds before the report.
    pub fn heard_ago(&self) -> Option<u64> {
        self.heard_ago.get()
    }

    /// Returns when the connection ended, in milliseconds before the report.
    pub fn ended_ago(&self) -> u64 {
        self.ended_ago.into()
    }

    /// Returns by how much a timer was late when the client noticed that its device had slept, in
    /// milliseconds.
    pub fn clock_gap(&self) -> Option<u64> {
        self.clock_gap.get()
    }

    /// Returns the median and the longest round-trip time that the client has measured, in
    /// milliseconds, 65 s at most.
    pub fn rtt(&self) -> Option<(u16, u16)> {
        self.rtt
    }

    /// Returns how many pings the client has received, and how many of them were late; 65 535 at
    /// most.
    pub fn pings(&self) -> Option<(u16, u16)> {
        self.pings
    }
}

impl PackedTries {
    fn of(ended: &EndedReport) -> Self {
        let mut packed = PackedTries::default();
        for tried in &ended.tries {
            packed.count = packed.count.saturating_add(1);
            let phase = PHASES.iter().position(|phase| Some(*phase) == tried.phase);
            if let Some(at) = phase {
                packed.phases[at] = packed.phases[at].saturating_add(1);
            }
        }
        if let Some(first) = ended.tries.first() {
            packed.first_ms = saturated(first.ms);
            packed.first_why = first.why;
        }
        packed
    }

    /// Returns how many tries ended in this phase.
    pub fn ended_in(&self, phase: TryPhase) -> u8 {
        let at = PHASES.iter().position(|known| *known == phase);
        at.map_or(0, |at| self.phases[at])
    }

    /// Returns the phase in which most tries ended; the earliest of several. `None`: the client
    /// knows none.
    pub fn main_phase(&self) -> Option<TryPhase> {
        let most = self.phases.iter().copied().max().filter(|most| *most > 0)?;
        let at = self.phases.iter().position(|count| *count == most)?;
        PHASES.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pulse::ClientFrame;

    fn packed(ended: &str) -> PackedReport {
        let json = format!(
            r#"{{"report":{{"v":1,"rt":"rust","lib":"1","start":"same","ended":[{ended}]}}}}"#
        );
        match ClientFrame::parse(&json) {
            Ok(ClientFrame::Report(Some(report))) => PackedReport::of(&report, &report.ended[0]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn absent_is_not_zero() {
        let none = packed(r#"{"end":"error","ended_ago":0}"#);
        assert_eq!(
            (none.heard_ago(), none.clock_gap(), none.rtt()),
            (None, None, None)
        );
        assert_eq!((none.tries.count, none.tries.main_phase()), (0, None));
        let zero = packed(r#"{"end":"error","ended_ago":0,"heard_ago":0,"clock_gap":0}"#);
        assert_eq!((zero.heard_ago(), zero.clock_gap()), (Some(0), Some(0)));
    }

    #[test]
    fn large_numbers_saturate() {
        let most = crate::pulse::NUMBER_MAX;
        let large = packed(&format!(
            r#"{{"end":"error","ended_ago":{most},"heard_ago":{most},"pings":{{"seen":{most},
            "late":0}},"rtt":{{"p50":1,"max":{most}}},"tries":[{{"ago":1,"ms":{most}}}]}}"#
        ));
        assert_eq!(large.heard_ago(), Some(u64::from(u32::MAX) - 1));
        assert_eq!(large.ended_ago(), u64::from(u32::MAX));
        assert_eq!(large.pings(), Some((u16::MAX, 0)));
        assert_eq!(large.rtt(), Some((1, u16::MAX)));
        assert_eq!(large.tries.first_ms, u32::MAX);
    }

    #[test]
    fn the_phase_of_most_tries_is_the_main_one() {
        let tries = r#"{"end":"never_open","ended_ago":1,"tries":[
            {"ago":3,"ms":1,"phase":"tcp","why":"refused"},{"ago":2,"ms":1,"phase":"dns"},
            {"ago":1,"ms":1,"phase":"tcp"}]}"#;
        let tries = packed(tries).tries;
        assert_eq!(
            (tries.count, tries.first_why),
            (3, Some(TryFailure::Refused))
        );
        assert_eq!(tries.main_phase(), Some(TryPhase::Tcp));
        assert_eq!(
            (
                tries.ended_in(TryPhase::Tcp),
                tries.ended_in(TryPhase::Hello)
            ),
            (2, 0)
        );
    }
}
