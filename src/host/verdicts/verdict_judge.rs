//! Judges each end when it happens.

use super::end_facts::{EndFacts, EndKind};
use super::end_patterns::EndPatterns;
use super::judged_end::JudgedEnd;
use super::kernel_view::KernelView;
use super::stall_watch::StallWatch;
use crate::base::network_block::NetworkBlock;
use crate::base::time::Micros;
use crate::engine::Ending;
use crate::host::classes::Classes;

/// Judges ends, and remembers what it needs of earlier ones.
#[derive(Debug, Default)]
pub(crate) struct VerdictJudge {
    stalls: StallWatch,
    patterns: EndPatterns,
}

impl VerdictJudge {
    /// Notices stalls of the loop. `stalled` is the sum of all of them.
    pub(crate) fn look(&mut self, now: Micros, stalled: Micros) {
        self.stalls.look(now, stalled);
    }

    /// Judges an end by the gateway's side. `told` is the end as the log and the records tell it.
    /// `awaits_report`: whether the client may still report it. `None`: there is nothing to judge,
    /// because it was no WebSocket of a client.
    pub(crate) fn judge(
        &mut self,
        now: Micros,
        told: &Ending,
        awaits_report: bool,
        classes: &Classes,
    ) -> Option<JudgedEnd> {
        let kind = EndKind::of(told, classes)?;
        let view = KernelView::of(told.silence_evidence);
        let stall = self.stalls.longest_since(now - told.silence);
        let mut facts = EndFacts::of(kind, told, view).with_stall(stall);
        if let (EndKind::Eof | EndKind::Reset, Some(class)) = (kind, told.class) {
            facts.common_age = self.patterns.note_age(class, now, told.age);
        }
        // A reset answers what was sent after the idle time. A peer that cannot hear us answers
        // nothing, so that only the heartbeat that was late knows that time. Its client may come
        // back before its connection is stale.
        let gap = match kind {
            EndKind::Reset | EndKind::NetworkError => Some(told.silence),
            EndKind::Stale | EndKind::Replaced | EndKind::PeerClosed | EndKind::Eof => {
                told.silence_evidence.map(|evidence| evidence.idle_before)
            }
            _ => None,
        };
        if let Some(gap) = gap {
            let block = NetworkBlock::of(told.peer_addr.ip());
            facts.common_gap = self.patterns.note_gap(block, gap);
        }
        Some(JudgedEnd::by_gateway(facts, awaits_report))
    }
}
