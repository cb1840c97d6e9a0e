//! What was seen of a peer that did not answer a heartbeat in time.

use crate::base::time::Micros;

/// What was seen of a silent peer when its latest late heartbeat was found late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "tests of hosts write it down")]
pub struct SilenceEvidence {
    /// When the heartbeat was found late: engine time.
    pub at: Micros,
    /// How long the heartbeat was unanswered then.
    pub waited: Micros,
    /// How long nothing had been heard when the first heartbeat of this silence left that was found
    /// late.
    pub idle_before: Micros,
    /// What the kernel knew then; `None` where it knows nothing: for Unix sockets, and on other
    /// systems than Linux.
    pub kernel: Option<KernelEvidence>,
}

/// What the kernel knew of the TCP connection of a silent peer (Linux: `TCP_INFO`, tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "tests of hosts write it down")]
pub struct KernelEvidence {
    /// Whether the other end has acknowledged all bytes up to the end of the heartbeat. Then the
    /// network works, and the program behind it is silent.
    pub heartbeat_acked: bool,
    /// Segments that were sent and not acknowledged.
    pub in_flight: u32,
    /// How often in a row the retransmission timer was doubled, or that of probes of a closed
    /// window. At 2 and more, with segments in flight, the path is probably gone.
    pub backoff: u8,
    /// Retransmissions in a row of the oldest segment that is not acknowledged.
    pub retransmits: u8,
    /// Probes of a closed window that were not answered. Above 0, the peer does not read.
    pub probes: u8,
    /// Whether a proxy is in front of the peer. All of this then speaks about the connection to the
    /// proxy.
    pub proxy: bool,
}

/// What is kept of a connection that had a late heartbeat, until its end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LateRecord {
    /// How many heartbeats were late.
    pub(crate) count: u32,
    /// What was seen at the latest of them; `None` once that one is answered although its answer is
    /// no sign of life.
    pub(crate) latest: Option<SilenceEvidence>,
}
