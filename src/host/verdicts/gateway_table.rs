//! The verdicts of the gateway's side alone.

use super::end_facts::{EndFacts, EndKind};
use super::end_verdict::EndVerdict;
use super::kernel_view::KernelView;
use super::row_words::{Decision, RowWords};

/// A row: what must hold for its verdict.
pub(super) struct GatewayRow {
    pub(super) verdict: EndVerdict,
    pub(super) words: RowWords,
    holds: fn(&EndFacts) -> bool,
}

/// The shortest stall that can make a client give up, in milliseconds.
const STALL_MIN_MS: u32 = 1_000;

/// For how long bytes wait on a path that is slow, in milliseconds.
pub(super) const BLOCKED_MIN_MS: u32 = 2_000;

/// The rows. The first one that holds decides.
pub(super) const GATEWAY_ROWS: &[GatewayRow] = &[
    GatewayRow {
        verdict: EndVerdict::GatewayStall,
        words: RowWords {
            gateway: "a close frame of the peer, EOF, reset, network error, or replaced, and the \
                      loop stalled for 1 s or more since it last heard the peer, or up to 1 s \
                      before",
            kernel: "",
            client: "",
        },
        // The timeout of a stale connection does not count stalls, so that none explains it.
        holds: |end| {
            let kinds = [
                EndKind::PeerClosed,
                EndKind::Eof,
                EndKind::Reset,
                EndKind::NetworkError,
                EndKind::Replaced,
            ];
            end.stall_ms >= STALL_MIN_MS && kinds.contains(&end.kind)
        },
    },
    GatewayRow {
        verdict: EndVerdict::GatewayAction,
        words: RowWords {
            gateway: "closed by a rule, for an operator, or because the gateway stops",
            kernel: "",
            client: "",
        },
        holds: |end| end.kind == EndKind::Action,
    },
    GatewayRow {
        verdict: EndVerdict::NetworkLost,
        words: RowWords {
            gateway: "network error, or the kernel gave up",
            kernel: "",
            client: "",
        },
        holds: |end| end.kind == EndKind::NetworkError,
    },
    GatewayRow {
        verdict: EndVerdict::NetworkLost,
        words: RowWords {
            gateway: "stale",
            kernel: "not acknowledged, sent again twice or more",
            client: "",
        },
        holds: |end| end.kind == EndKind::Stale && end.kernel == KernelView::Lost,
    },
    GatewayRow {
        verdict: EndVerdict::PeerSilent,
        words: RowWords {
            gateway: "stale",
            kernel: "all acknowledged, or the peer's window is closed",
            client: "",
        },
        holds: |end| {
            let answers = [KernelView::Acknowledged, KernelView::WindowFull];
            end.kind == EndKind::Stale && answers.contains(&end.kernel)
        },
    },
    GatewayRow {
        verdict: EndVerdict::PeerSilent,
        words: RowWords {
            gateway: "slow consumer",
            kernel: "the peer's window is closed",
            client: "",
        },
        holds: |end| end.kind == EndKind::SlowConsumer && end.kernel == KernelView::WindowFull,
    },
    GatewayRow {
        verdict: EndVerdict::ProxyTimeout,
        words: RowWords {
            gateway: "EOF or reset; five ends of the class at one age ± 2 %, not at one moment",
            kernel: "",
            client: "",
        },
        holds: |end| end.common_age && matches!(end.kind, EndKind::Eof | EndKind::Reset),
    },
    GatewayRow {
        verdict: EndVerdict::SecondDevice,
        words: RowWords {
            gateway: "replaced, and the old connection answered the close frame",
            kernel: "",
            client: "",
        },
        holds: |end| end.kind == EndKind::Replaced && end.clean,
    },
    GatewayRow {
        verdict: EndVerdict::TakeoverOfDead,
        words: RowWords {
            gateway: "replaced, and the old connection did not answer the close frame",
            kernel: "",
            client: "",
        },
        holds: |end| end.kind == EndKind::Replaced,
    },
    GatewayRow {
        verdict: EndVerdict::SlowLink,
        words: RowWords {
            gateway: "slow consumer, round-trip time of 500 ms or more",
            kernel: "",
            client: "",
        },
        holds: |end| end.kind == EndKind::SlowConsumer && end.slow_path,
    },
    GatewayRow {
        verdict: EndVerdict::SlowLink,
        words: RowWords {
            gateway: "slow consumer",
            kernel: "not acknowledged",
            client: "",
        },
        holds: |end| {
            let waits = [KernelView::Unacknowledged, KernelView::Lost];
            end.kind == EndKind::SlowConsumer && waits.contains(&end.kernel)
        },
    },
    GatewayRow {
        verdict: EndVerdict::SlowLink,
        words: RowWords {
            gateway: "stale, and the peer had not taken what waited for 2 s or more",
            kernel: "not acknowledged, sent again less than twice",
            client: "",
        },
        // A path that is gone has had time for more: its timeouts are short.
        holds: |end| {
            let is_slow = end.kernel == KernelView::Unacknowledged;
            end.kind == EndKind::Stale && is_slow && end.blocked_ms >= BLOCKED_MIN_MS
        },
    },
    GatewayRow {
        verdict: EndVerdict::SlowLink,
        words: RowWords {
            gateway: "a close frame of the peer, which had not taken what waited for 2 s or more",
            kernel: "anything but a closed window",
            client: "",
        },
        holds: |end| {
            let reads = end.kernel != KernelView::WindowFull;
            end.kind == EndKind::PeerClosed && reads && end.blocked_ms >= BLOCKED_MIN_MS
        },
    },
    GatewayRow {
        verdict: EndVerdict::UpstreamLost,
        words: RowWords {
            gateway: "the connection to the upstream was lost first",
            kernel: "",
            client: "",
        },
        holds: |end| end.kind == EndKind::UpstreamLost,
    },
    GatewayRow {
        verdict: EndVerdict::UpstreamClosed,
        words: RowWords {
            gateway: "the upstream closed first",
            kernel: "",
            client: "",
        },
        holds: |end| end.kind == EndKind::UpstreamClosed,
    },
    GatewayRow {
        verdict: EndVerdict::PeerLeft,
        words: RowWords {
            gateway: "a close frame of the peer, or EOF",
            kernel: "",
            client: "",
        },
        holds: |end| matches!(end.kind, EndKind::PeerClosed | EndKind::Eof),
    },
];

/// Judges an end by the gateway's side alone.
pub(super) fn judge(end: &EndFacts) -> Decision {
    let row = GATEWAY_ROWS.iter().find(|row| (row.holds)(end));
    row.map_or((EndVerdict::Unknown, None), |row| {
        (row.verdict, Some(&row.words))
    })
}
