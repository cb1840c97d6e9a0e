//! What the kernel of this machine knows of a connection whose heartbeat is late.

use crate::engine::SilenceEvidence;

/// What `TCP_INFO` said when the last heartbeat of a connection was late, in one word.
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
    pub(crate) fn of(evidence: Option<SilenceEvidence>) -> Self {
        let kernel = evidence.and_then(|evidence| evidence.kernel);
        let Some(kernel) = kernel.filter(|kernel| !kernel.proxy) else {
            return KernelView::Nothing;
        };
        if kernel.heartbeat_acked {
            return KernelView::Acknowledged;
        }
        // Probes of a closed window back off as lost segments do, so the window comes first.
        if kernel.in_flight == 0 || kernel.probes > 0 {
            return KernelView::WindowFull;
        }
        match kernel.backoff.max(kernel.retransmits) >= BACKOFF_MIN {
            true => KernelView::Lost,
            false => KernelView::Unacknowledged,
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
