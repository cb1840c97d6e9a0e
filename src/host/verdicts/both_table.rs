//! The verdicts of both sides together.

use super::end_facts::{EndFacts, EndKind};
use super::end_verdict::EndVerdict;
use super::gateway_table::{self, BLOCKED_MIN_MS};
use super::kernel_view::KernelView;
use super::row_words::{Decision, RowWords};
use crate::host::reports::PackedReport;
use crate::pulse::{ClientStart, NetworkKind, PageVisibility, ReportedEnd, TryPhase};

/// A row: what must hold for its verdict.
pub(super) struct BothRow {
    pub(super) verdict: EndVerdict,
    pub(super) words: RowWords,
    holds: fn(&EndFacts, &PackedReport) -> bool,
}

/// A client's round-trip time from which a path is slow, in milliseconds.
const SLOW_RTT_MS: u16 = 1_000;

/// What the gateway saw of a peer that was lost.
const SILENT: &str = "stale; or a close frame, EOF, reset, network error or replaced, of a client \
                      that says watchdog, sleep or offline";

/// The rows. The first one that holds decides; if none does, the gateway's side alone decides.
pub(super) const BOTH_ROWS: &[BothRow] = &[
    BothRow {
        verdict: EndVerdict::GatewayStall,
        words: RowWords {
            gateway: "the loop stalled for a third of the client's silence or more",
            kernel: "",
            client: "watchdog; or sleep for less time than the loop stalled",
        },
        holds: |end, client| {
            let silence = silence_ms(client).unwrap_or(u64::MAX);
            let stall = u64::from(end.stall_ms);
            let is_short = client.clock_gap().is_some_and(|gap| gap < stall);
            let gave_up = match client.end {
                ReportedEnd::Watchdog => true,
                ReportedEnd::Sleep => is_short,
                _ => false,
            };
            gave_up && stall >= 1_000 && stall >= silence / 3
        },
    },
    BothRow {
        verdict: EndVerdict::GatewayAction,
        words: RowWords {
            gateway: "closed by a rule, for an operator, or because the gateway stops",
            kernel: "",
            client: "the code that was sent",
        },
        holds: |end, client| end.kind == EndKind::Action && has_our_code(end, client),
    },
    BothRow {
        verdict: EndVerdict::SlowLink,
        words: RowWords {
            gateway: "any end but an action; the peer had not taken what waited for 2 s or more, \
                      or it is stale and not acknowledged, but sent again less than twice",
            kernel: "anything but a closed window",
            client: "it heard something while that waited, or in the second half of the silence, \
                     and neither slept nor closed",
        },
        // Nothing is heard on a path that is gone.
        holds: |end, client| {
            let waits = end.blocked_ms >= BLOCKED_MIN_MS || end.waits_in_kernel();
            let is_waiting = waits && end.heard_meanwhile;
            let reads = end.kernel != KernelView::WindowFull && !has_slept(client);
            let wanted = has_our_code(end, client) && end.kind == EndKind::Replaced;
            let left = wanted || [ReportedEnd::Local, ReportedEnd::Offline].contains(&client.end);
            is_lost(end.kind) && is_waiting && reads && !left
        },
    },
    BothRow {
        verdict: EndVerdict::Handover,
        words: RowWords {
            gateway: SILENT,
            kernel: "not acknowledged, or nothing is known",
            client: "opened on another network than now, and both are networks",
        },
        holds: |end, client| {
            let known = |net: NetworkKind| ![NetworkKind::None, NetworkKind::Other].contains(&net);
            let changed = |(then, now)| then != now && known(then) && known(now);
            is_silent(end, client) && is_unheard(end) && client.net.is_some_and(changed)
        },
    },
    BothRow {
        verdict: EndVerdict::Outage,
        words: RowWords {
            gateway: SILENT,
            kernel: "not acknowledged, or nothing is known",
            client: "offline; or no sleep, and tries that failed in dns or tcp, or in a phase that \
                     it does not know",
        },
        holds: |end, client| {
            let tries = &client.tries;
            let in_network = tries.ended_in(TryPhase::Dns) + tries.ended_in(TryPhase::Tcp) > 0;
            let in_unknown = tries.count > 0 && tries.main_phase().is_none();
            let failed = !has_slept(client) && (in_network || in_unknown);
            let is_offline = client.end == ReportedEnd::Offline;
            is_silent(end, client) && is_unheard(end) && (is_offline || failed)
        },
    },
    BothRow {
        verdict: EndVerdict::DeviceSleep,
        words: RowWords {
            gateway: SILENT,
            kernel: "not acknowledged, or nothing is known",
            client: "sleep, or a clock gap of half its silence or more; the page was not frozen",
        },
        holds: |end, client| {
            is_silent(end, client) && is_unheard(end) && has_slept(client) && !client.is_frozen
        },
    },
    BothRow {
        verdict: EndVerdict::AppFrozen,
        words: RowWords {
            gateway: SILENT,
            kernel: "all acknowledged, the peer's window is closed, or nothing is known and it was \
                     no reset",
            client: "the page was frozen or hidden, or a clock gap of half its silence or more",
        },
        // A machine whose program is frozen acknowledges, and does not reset.
        holds: |end, client| {
            let is_cut = end.kind == EndKind::Reset && end.kernel == KernelView::Nothing;
            let is_away = is_background(client) || has_slept(client);
            is_silent(end, client) && is_heard(end) && !is_cut && is_away
        },
    },
    BothRow {
        verdict: EndVerdict::AppFrozen,
        words: RowWords {
            gateway: "slow consumer",
            kernel: "the peer's window is closed",
            client: "the page was frozen or hidden, or a clock gap of half its silence or more",
        },
        holds: |end, client| {
            end.kind == EndKind::SlowConsumer
                && end.kernel == KernelView::WindowFull
                && (is_background(client) || has_slept(client))
        },
    },
    BothRow {
        verdict: EndVerdict::Middlebox,
        words: RowWords {
            gateway: SILENT,
            kernel: "all acknowledged",
            client: "watchdog; the page was not hidden",
        },
        holds: |end, client| {
            is_silent(end, client)
                && end.kernel == KernelView::Acknowledged
                && client.end == ReportedEnd::Watchdog
                && !is_background(client)
        },
    },
    BothRow {
        verdict: EndVerdict::NatTimeout,
        words: RowWords {
            gateway: "stale, reset or network error; or another end of a client that says watchdog \
                      or sleep; three ends of the network block after one idle time ± 10 %",
            kernel: "",
            client: "not offline, and the first try succeeded",
        },
        holds: |end, client| {
            let kinds = [EndKind::Stale, EndKind::Reset, EndKind::NetworkError];
            let is_dead = kinds.contains(&end.kind) || is_silent(end, client);
            let is_online = client.end != ReportedEnd::Offline && client.tries.count == 0;
            is_dead && end.common_gap && is_online
        },
    },
    BothRow {
        verdict: EndVerdict::AppKilled,
        words: RowWords {
            gateway: "EOF or reset",
            kernel: "",
            client: "the program has started anew, and did not close the connection",
        },
        holds: |end, client| {
            let is_new = client.start == ClientStart::New && client.end != ReportedEnd::Local;
            matches!(end.kind, EndKind::Eof | EndKind::Reset) && is_new
        },
    },
    BothRow {
        verdict: EndVerdict::SecondDevice,
        words: RowWords {
            gateway: "replaced",
            kernel: "",
            client: "the code that was sent: it lived when it was replaced",
        },
        holds: |end, client| end.kind == EndKind::Replaced && has_our_code(end, client),
    },
    BothRow {
        verdict: EndVerdict::TakeoverOfDead,
        words: RowWords {
            gateway: "replaced",
            kernel: "",
            client: "another end: it had lost the connection before",
        },
        holds: |end, _| end.kind == EndKind::Replaced,
    },
    BothRow {
        verdict: EndVerdict::SlowLink,
        words: RowWords {
            gateway: "slow consumer",
            kernel: "",
            client: "a round-trip time of 1 s or more",
        },
        holds: |end, client| {
            let is_slow = client.rtt().is_some_and(|(_, max)| max >= SLOW_RTT_MS);
            end.kind == EndKind::SlowConsumer && is_slow
        },
    },
];

/// How many failed tries make a client that was never connected unreachable.
pub(super) const UNREACHABLE_TRIES: u8 = 2;

/// Judges an end by both sides.
pub(super) fn judge(end: &EndFacts, client: &PackedReport) -> Decision {
    if let Some(row) = BOTH_ROWS.iter().find(|row| (row.holds)(end, client)) {
        return (row.verdict, Some(&row.words));
    }
    // A client that closed, or was closed, did not give up because of a stall.
    let gave_up = [ReportedEnd::Watchdog, ReportedEnd::Error].contains(&client.end);
    let stall_ms = if gave_up { end.stall_ms } else { 0 };
    gateway_table::judge(&EndFacts { stall_ms, ..*end })
}

/// Judges a client that was never connected, of which the gateway has seen nothing.
pub(super) fn judge_never_open(client: &PackedReport) -> Option<EndVerdict> {
    let is_several = client.tries.count >= UNREACHABLE_TRIES;
    (client.end == ReportedEnd::NeverOpen && is_several).then_some(EndVerdict::Unreachable)
}

/// Returns whether such an end may follow the loss of the peer. The close frame of a client that
/// gave up looks like any other.
const fn is_lost(kind: EndKind) -> bool {
    matches!(
        kind,
        EndKind::Stale
            | EndKind::SlowConsumer
            | EndKind::PeerClosed
            | EndKind::Eof
            | EndKind::Reset
            | EndKind::NetworkError
            | EndKind::Replaced
    )
}

/// Returns whether the peer was silent for too long, by one side or the other.
fn is_silent(end: &EndFacts, client: &PackedReport) -> bool {
    let ends = [
        ReportedEnd::Watchdog,
        ReportedEnd::Sleep,
        ReportedEnd::Offline,
    ];
    let is_lost = is_lost(end.kind) && end.kind != EndKind::SlowConsumer;
    end.kind == EndKind::Stale || is_lost && ends.contains(&client.end)
}

/// Returns whether the peer's kernel may have heard nothing.
fn is_unheard(end: &EndFacts) -> bool {
    ![KernelView::Acknowledged, KernelView::WindowFull].contains(&end.kernel)
}

/// Returns whether the peer's kernel may have heard us.
fn is_heard(end: &EndFacts) -> bool {
    ![KernelView::Unacknowledged, KernelView::Lost].contains(&end.kernel)
}

fn is_background(client: &PackedReport) -> bool {
    client.is_frozen || client.visibility == Some(PageVisibility::Hidden)
}

/// Returns for how long the client had heard nothing when it ended the connection.
fn silence_ms(client: &PackedReport) -> Option<u64> {
    let heard = client.heard_ago()?;
    Some(heard.saturating_sub(client.ended_ago()))
}

fn has_slept(client: &PackedReport) -> bool {
    let silence = silence_ms(client);
    let is_long = |gap: u64| gap > 0 && silence.is_none_or(|silence| gap >= silence / 2);
    client.end == ReportedEnd::Sleep || client.clock_gap().is_some_and(is_long)
}

fn has_our_code(end: &EndFacts, client: &PackedReport) -> bool {
    client.end == ReportedEnd::Close && end.code.is_some() && end.code == client.code
}
