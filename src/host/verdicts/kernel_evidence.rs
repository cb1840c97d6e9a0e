//! What the kernel of this machine knows of a connection whose heartbeat is late.

use crate::base::time::Micros;

/// What `TCP_INFO` said when the last heartbeat of a connection was late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "what the kernel says")]
pub struct KernelEvidence {
    /// Whether the peer's kernel has acknowledged the heartbeat.
    pub heartbeat_acked: bool,
    /// Segments that were sent and not acknowledged (`tcpi_unacked`).
    pub in_flight: u32,
    /// How many times the retransmission timeout was doubled (`tcpi_backoff`). The probes of a
    /// closed window count, too.
    pub backoff: u8,
    /// How many times the oldest segment was sent again (`tcpi_retransmits`).
    pub retransmits: u8,
    /// Whether a proxy is in front. The figures are then about the proxy.
    pub proxy: bool,
    /// How long nothing was heard when the heartbeat left, if that is known.
    pub idle_before: Option<Micros>,
}

/// The same in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KernelView {
    /// Nothing is known, or only of a proxy.
    #[default]
    Nothing,
    /// The peer's kernel has acknowledged all, the heartbeat included.
    Acknowledged,
    /// The heartbeat could not leave: nothing is in flight, because the peer's kernel has closed
    /// its window. That kernel lives; its program does not read.
    WindowFull,
    /// The heartbeat is not acknowledged, and was sent again less than twice.
    Unacknowledged,
    /// The heartbeat is not acknowledged, and was sent again twice or more.
    Lost,
}

/// How often a segment is sent again before the path counts as lost. The second doubling is 600 ms
/// after the first segment at the earliest (RFC 6298, with the 200 ms of Linux as the least
/// timeout).
const BACKOFF_MIN: u8 = 2;

impl KernelView {
    /// All views.
    pub const ALL: [KernelView; 5] = [
        KernelView::Nothing,
        KernelView::Acknowledged,
        KernelView::WindowFull,
        KernelView::Unacknowledged,
        KernelView::Lost,
    ];

    /// Reads the evidence.
    pub(super) fn of(evidence: Option<KernelEvidence>) -> Self {
        let Some(evidence) = evidence.filter(|evidence| !evidence.proxy) else {
            return KernelView::Nothing;
        };
        // Probes of a closed window back off as lost segments do, so the window comes first.
        match evidence {
            KernelEvidence {
                heartbeat_acked: true,
                ..
            } => KernelView::Acknowledged,
            KernelEvidence { in_flight: 0, .. } => KernelView::WindowFull,
            _ if evidence.backoff.max(evidence.retransmits) >= BACKOFF_MIN => KernelView::Lost,
            _ => KernelView::Unacknowledged,
        }
    }

    /// Returns the name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            KernelView::Nothing => "nothing",
            KernelView::Acknowledged => "acknowledged",
            KernelView::WindowFull => "window_full",
            KernelView::Unacknowledged => "unacknowledged",
            KernelView::Lost => "lost",
        }
    }
}
