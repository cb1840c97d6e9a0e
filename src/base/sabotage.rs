//! Deliberate bugs, switched on one at a time by `tests/models/sabotage.rs` to check that the tests
//! find them.
//!
//! Without the feature `sabotage` every check below is the constant `false` and disappears from the
//! code.

/// A bug that a programmer could plausibly introduce.
#[cfg_attr(
    not(feature = "sabotage"),
    expect(unreachable_pub, reason = "public for tests with the feature")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "for our own tests")]
pub enum Bug {
    /// A connection becomes stale a tick too early.
    EarlyStale,
    /// The wheel sleeps a tick too long.
    SleepTooLong,
    /// After a ping the connection is not armed again.
    LostRearm,
    /// Slow progress of our own bytes does not defer the stale deadline.
    SlowIsDead,
    /// A slot is found even if the generation of the id differs.
    StaleGeneration,
    /// The host is told of a connection's end twice.
    DoubleOnClose,
    /// The host is not told of a connection's end.
    NoOnClose,
    /// Output of the shared context for one peer goes to the next peer.
    PongToAnother,
    /// Any byte counts as heard, not only frames and progress.
    EveryByteIsHeard,
    /// A ping is queued behind one that has not been sent.
    PingBehindPing,
    /// A stale connection is closed without a final check of its socket.
    NoLastLook,
    /// Messages are delivered after our close frame was queued.
    DeliverAfterClose,
    /// A control frame is put inside a data frame that is partly sent.
    ControlInsideFrame,
    /// Bytes taken by the kernel are not subtracted from the pending bytes.
    PendingNotReduced,
    /// A send does not schedule a flush.
    LostDirty,
    /// A heartbeat is late 300 ms too early.
    LateEarly,
    /// A heartbeat is found late twice.
    LateTwice,
    /// A heartbeat is found late although it was answered.
    LateAnswered,
    /// A heartbeat is found late although input of its peer waits to be processed.
    LateUnread,
    /// Every second late heartbeat is forgotten.
    LateForgotten,
    /// The kernel is asked about heartbeats that are not late.
    KernelAskedTooOften,
    /// A late heartbeat makes a connection risky for ever.
    LatesNeverForgotten,
    /// The late heartbeats of one peer raise the alarm of its cohort.
    OnePeerIsACohort,
    /// Answered heartbeats do not end the alarm of a cohort.
    AnswersDoNotCool,
    /// Connections of a cohort that had to make room count for the one that took its place.
    CohortMistaken,
    /// Late heartbeats count although this process did not run.
    OwnStallBlamed,
    /// A connection that has ended stays a member of its cohort.
    MemberStaysCounted,
    /// Connections that die after an idle gap do not count.
    GapDeathsIgnored,
    /// A longer interval does not make the connection timeout longer.
    PaceWithoutTimeout,
    /// A connection that explores counts for ever.
    ExplorersLeak,
    /// A stall of the loop counts as silence of the peers.
    StallBlamed,
    /// A connection is parked although a fragmented message is in progress.
    ParkedTooSoon,
    /// Bytes held for an unfinished message stay counted.
    HeldLeaks,
    /// After a policy change, existing connections are judged as if the new policy had always
    /// applied.
    ChangeUnseen,
    /// The work of one peer is not limited within a turn.
    BudgetIgnored,
    /// Bytes beyond a share are lost.
    LeftoverLost,
    /// A host with an unfinished message is not called again.
    UnfinishedForgotten,
    /// Memory is charged by a message's length, not by what is allocated.
    ChargedTooLittle,
    /// A peer that is not read becomes stale.
    UnreadIsDead,
    /// A heartbeat in the form of a text is put between the fragments of a message.
    TextBeatInsideMessage,
    /// Pings and pongs count as data.
    ControlFramesCountAsData,
    /// The host gets a message of which only a part has arrived.
    HalfMessageDelivered,
    /// What a socket has taken of a forwarded run is queued again.
    RunForwardedTwice,
    /// Bytes behind the head of a response are lost.
    TailLost,
    /// The host is told that the other connection of a pair has ended.
    WrongLegBlamed,
    /// A connection whose partner was behind is not read again.
    ReadingNotResumed,
    /// Our own frames to a server have no mask.
    MasksMixed,
    /// A ping goes out inside a frame that is forwarded in parts.
    PingInsideFrame,
    /// Two closes that cross are handled as one and its answer.
    BothClosesAsOne,
    /// The pong of a heartbeat of ours goes on to the other connection of the pair.
    OwnPongForwarded,
    /// That a message in fragments is in progress is forgotten between two fragments.
    FragmentForgotten,
    /// A linked peer that waits for the rest of a frame, and so cannot be pinged, becomes stale.
    WaitingIsDead,
    /// Frames right behind a client's request are lost.
    EarlyFramesLost,
    /// That a client has ended its stream is not passed on.
    HalfCloseUnheard,
    /// The answer to a close frame does not reach the peer that closed.
    AnswerLost,
    /// A connection whose partner is behind is read on.
    NeverPaused,
    /// Frames are begun although a planned close waits for the end of the one in progress.
    PlannedCloseStarves,
    /// A planned close comes before input that was read and is not forwarded yet.
    PlannedCloseOvertakes,
    /// A pair that has ended stays counted for its upstream.
    #[cfg(feature = "gateway")]
    LegStaysCounted,
    /// An upstream that is gone is kept after its last connection.
    #[cfg(feature = "gateway")]
    UpstreamKept,
    /// A drained upstream gets new clients.
    #[cfg(feature = "gateway")]
    DrainedChosen,
    /// One request more than allowed waits for an upstream.
    #[cfg(feature = "gateway")]
    DialingUnlimited,
    /// Requests in a queue are not passed on when an upstream has room.
    #[cfg(feature = "gateway")]
    QueueForgotten,
    /// Requests of one client keep all places at an upstream, whatever others wait.
    #[cfg(feature = "gateway")]
    CrowdKeepsPlaces,
    /// The planned end of a pair stays after the pair has ended.
    #[cfg(feature = "gateway")]
    AgeForgotten,
    /// A message is acknowledged to the other side of a session before it has arrived.
    #[cfg(any(feature = "gateway", feature = "client"))]
    AcknowledgedEarly,
    /// A hello offers the token with which the client has resumed.
    #[cfg(any(feature = "gateway", feature = "client"))]
    TokenReused,
    /// The older token of a session is not valid although the hello with the newer one may be lost.
    #[cfg(any(feature = "gateway", feature = "client"))]
    OldTokenDroppedEarly,
    /// A message that the other side of a session has acknowledged is sent again.
    #[cfg(any(feature = "gateway", feature = "client"))]
    SentEntryKept,
    /// A message of a client counts as received although the upstream is closing.
    #[cfg(feature = "gateway")]
    AcknowledgedUnsent,
    /// The connection that another one has replaced is still read.
    #[cfg(feature = "gateway")]
    OldLegRead,
    /// The bytes of a session whose hold has ended stay charged.
    #[cfg(feature = "gateway")]
    HoldStaysCharged,
    /// A token is still found when its session is over.
    #[cfg(feature = "gateway")]
    TokenKept,
    /// A token is worth something to another client.
    #[cfg(feature = "gateway")]
    TokenUnbound,
    /// The upstream is read although there is no room for what it sends.
    #[cfg(feature = "gateway")]
    RoomIgnored,
    /// A message of the upstream for which there is no room is dropped.
    #[cfg(feature = "gateway")]
    FullDropped,
    /// A client is not told that a drain closes its connection.
    #[cfg(feature = "gateway")]
    ByeMissing,
    /// A session begins to wait for its client during a drain.
    #[cfg(feature = "gateway")]
    HeldInDrain,
    /// A client is told of the end before it has the messages that came before it.
    #[cfg(feature = "gateway")]
    EndOvertakes,
    /// A client that was closed for good keeps its session by being quick.
    #[cfg(feature = "gateway")]
    FinalResumed,
    /// A client has five seconds to acknowledge the end, even if it is lost.
    #[cfg(feature = "gateway")]
    EndHurried,
    /// More sessions wait for their clients than are allowed.
    #[cfg(feature = "gateway")]
    HoldsUnlimited,
    /// More is kept for sessions that wait than is allowed.
    #[cfg(feature = "gateway")]
    HoldBytesUnlimited,
    /// One address has more sessions that wait than its part.
    #[cfg(feature = "gateway")]
    HoldShareIgnored,
    /// A client that acknowledges nothing keeps its connection.
    #[cfg(feature = "gateway")]
    SilenceAboutMessages,
    /// A session waits for its client for ever.
    #[cfg(feature = "gateway")]
    HoldUnending,
    /// A long message is not announced.
    #[cfg(feature = "gateway")]
    BigUnannounced,
    /// A client is not read again after its upstream was slow.
    #[cfg(feature = "gateway")]
    ClientStaysPaused,
    /// A queue between threads wakes its receiver once and never again.
    MailWakeLost,
    /// An item that does not fit in a queue between threads is not counted.
    MailLossUncounted,
    /// A queue between threads holds one item more than its limit.
    MailBoundOffByOne,
    /// Bytes of items that were taken from a queue between threads stay counted.
    MailRoomLeaks,
    /// New items in a queue between threads are taken before older ones.
    MailOvertakes,
    /// The budget of a turn does not apply to a queue between threads.
    MailBudgetIgnored,
    /// A step of a fan-out begins one app too late.
    #[cfg(feature = "gateway")]
    FanOutSkips,
    /// A step of a fan-out begins with the app at which the previous one ended.
    #[cfg(feature = "gateway")]
    FanOutRepeats,
    /// A frame overtakes frames that are in transit.
    #[cfg(feature = "gateway")]
    FanOutOvertakes,
    /// Frames in transit are lost when their connection has ended.
    #[cfg(feature = "gateway")]
    OrphanLost,
    /// Frames in transit of an ended connection are charged to no account.
    #[cfg(feature = "gateway")]
    OrphanUncharged,
    /// Input in progress of a connection is kept until its close is complete.
    #[cfg(feature = "gateway")]
    ReadingKept,
    /// The end of a replaced connection ends the slot of its successor.
    #[cfg(feature = "gateway")]
    LateEndTakes,
    /// The wait for a lost app continues after the app is back.
    #[cfg(feature = "gateway")]
    WaitGoesOn,
    /// The answer to an older question is accepted for the open one.
    #[cfg(feature = "gateway")]
    AnyAnswerCounts,
    /// Failed waits for an app are not counted.
    #[cfg(feature = "gateway")]
    MissesUncounted,
    /// A slot that ends stays in the counters.
    #[cfg(feature = "gateway")]
    EndUncounted,
    /// A message that a relay peer had not acknowledged is sent once more behind the others after a
    /// resume.
    #[cfg(feature = "gateway")]
    RelayResumeReplaysTwice,
    /// A message of a relay peer counts as received before the relay has read all of it.
    #[cfg(feature = "gateway")]
    RelayCountsBeforeHandled,
    /// A frame of a type that is not kept is dropped although its absent receiver speaks pulse.
    #[cfg(feature = "gateway")]
    RelayDropsSilently,
}

#[cfg(feature = "sabotage")]
impl Bug {
    /// The bugs of the loop, which the simulation finds.
    pub const OF_THE_LOOP: [Bug; 33] = [
        Bug::EarlyStale,
        Bug::SleepTooLong,
        Bug::LostRearm,
        Bug::SlowIsDead,
        Bug::StaleGeneration,
        Bug::DoubleOnClose,
        Bug::NoOnClose,
        Bug::PongToAnother,
        Bug::EveryByteIsHeard,
        Bug::PingBehindPing,
        Bug::NoLastLook,
        Bug::LateEarly,
        Bug::LateTwice,
        Bug::LateAnswered,
        Bug::LateUnread,
        Bug::LateForgotten,
        Bug::KernelAskedTooOften,
        Bug::DeliverAfterClose,
        Bug::ControlInsideFrame,
        Bug::PendingNotReduced,
        Bug::LostDirty,
        Bug::StallBlamed,
        Bug::ParkedTooSoon,
        Bug::HeldLeaks,
        Bug::ChangeUnseen,
        Bug::BudgetIgnored,
        Bug::LeftoverLost,
        Bug::UnfinishedForgotten,
        Bug::ChargedTooLittle,
        Bug::UnreadIsDead,
        Bug::TextBeatInsideMessage,
        Bug::ControlFramesCountAsData,
        Bug::HalfMessageDelivered,
    ];

    /// The bugs of dials and links, which the tests of pairs in `tests/engine` find, and the
    /// simulation of pairs, too.
    pub const OF_THE_LINKS: [Bug; 7] = [
        Bug::RunForwardedTwice,
        Bug::TailLost,
        Bug::WrongLegBlamed,
        Bug::ReadingNotResumed,
        Bug::MasksMixed,
        Bug::PingInsideFrame,
        Bug::BothClosesAsOne,
    ];

    /// The bugs of balancing, which its simulation finds.
    #[cfg(feature = "gateway")]
    pub const OF_BALANCING: [Bug; 7] = [
        Bug::LegStaysCounted,
        Bug::UpstreamKept,
        Bug::DrainedChosen,
        Bug::DialingUnlimited,
        Bug::QueueForgotten,
        Bug::CrowdKeepsPlaces,
        Bug::AgeForgotten,
    ];

    /// More bugs of links, which the simulation of pairs finds.
    pub const OF_LINKED_LIVES: [Bug; 9] = [
        Bug::OwnPongForwarded,
        Bug::FragmentForgotten,
        Bug::WaitingIsDead,
        Bug::EarlyFramesLost,
        Bug::HalfCloseUnheard,
        Bug::AnswerLost,
        Bug::NeverPaused,
        Bug::PlannedCloseStarves,
        Bug::PlannedCloseOvertakes,
    ];

    /// The bugs of sessions that outlive their connections, which their model finds.
    #[cfg(any(feature = "gateway", feature = "client"))]
    pub const OF_PULSE: [Bug; 4] = [
        Bug::AcknowledgedEarly,
        Bug::TokenReused,
        Bug::OldTokenDroppedEarly,
        Bug::SentEntryKept,
    ];

    /// The bugs of pulse on the relay, which the model of its peers finds.
    #[cfg(feature = "gateway")]
    pub const OF_RELAY_PULSE: [Bug; 3] = [
        Bug::RelayResumeReplaysTwice,
        Bug::RelayCountsBeforeHandled,
        Bug::RelayDropsSilently,
    ];

    /// The bugs of the gateway's part of these sessions, which their simulation finds. A named test
    /// finds [`EndHurried`](Bug::EndHurried): it is too rare there.
    #[cfg(feature = "gateway")]
    pub const OF_SESSIONS: [Bug; 17] = [
        Bug::AcknowledgedUnsent,
        Bug::OldLegRead,
        Bug::HoldStaysCharged,
        Bug::TokenKept,
        Bug::TokenUnbound,
        Bug::RoomIgnored,
        Bug::FullDropped,
        Bug::ByeMissing,
        Bug::HeldInDrain,
        Bug::EndOvertakes,
        Bug::FinalResumed,
        Bug::HoldsUnlimited,
        Bug::HoldBytesUnlimited,
        Bug::HoldShareIgnored,
        Bug::HoldUnending,
        Bug::BigUnannounced,
        Bug::ClientStaysPaused,
    ];

    /// The bugs of the queues between threads, which their model finds.
    pub const OF_THE_MAIL: [Bug; 6] = [
        Bug::MailWakeLost,
        Bug::MailLossUncounted,
        Bug::MailBoundOffByOne,
        Bug::MailRoomLeaks,
        Bug::MailOvertakes,
        Bug::MailBudgetIgnored,
    ];

    /// The bugs of the relay, which its model of fan-outs finds.
    #[cfg(feature = "gateway")]
    pub const OF_THE_RELAY: [Bug; 6] = [
        Bug::FanOutSkips,
        Bug::FanOutRepeats,
        Bug::FanOutOvertakes,
        Bug::OrphanLost,
        Bug::OrphanUncharged,
        Bug::ReadingKept,
    ];

    /// The bugs in the states of slots, which their model in `src/relay/session/tests.rs`
    /// finds.
    #[cfg(feature = "gateway")]
    pub const OF_THE_PLACES: [Bug; 5] = [
        Bug::LateEndTakes,
        Bug::WaitGoesOn,
        Bug::AnyAnswerCounts,
        Bug::MissesUncounted,
        Bug::EndUncounted,
    ];
}

#[cfg(feature = "sabotage")]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local!(static BUG: Cell<Option<Bug>> = const { Cell::new(None) });

    /// Runs `f` on this thread with one bug switched on.
    pub fn with<T>(bug: Bug, f: impl FnOnce() -> T) -> T {
        struct Reset;
        impl Drop for Reset {
            fn drop(&mut self) {
                BUG.set(None);
            }
        }
        let _reset = Reset;
        BUG.set(Some(bug));
        f()
    }

    pub(crate) fn on(bug: Bug) -> bool {
        BUG.get() == Some(bug)
    }
}

#[cfg(feature = "sabotage")]
pub(crate) use switch::on;
#[cfg(feature = "sabotage")]
pub use switch::with;

#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub(crate) const fn on(_: Bug) -> bool {
    false
}
