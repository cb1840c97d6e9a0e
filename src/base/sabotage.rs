//! Deliberate bugs, switched on one at a time by `tests/sabotage.rs`: a test suite is worth what it catches.
//!
//! Without the feature `sabotage` every check below is the constant `false` and leaves no trace in the code.

/// A bug that somebody could have made.
#[cfg_attr(
    not(feature = "sabotage"),
    expect(unreachable_pub, reason = "public for tests with the feature")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "for our own tests")]
pub enum Bug {
    /// A connection is stale a tick too early.
    EarlyStale,
    /// The wheel sleeps a tick too long.
    SleepTooLong,
    /// After a ping the connection is not armed again.
    LostRearm,
    /// Slow progress of our own bytes does not defer Stale.
    SlowIsDead,
    /// A slot is found whatever the generation of the id.
    StaleGeneration,
    /// The end of a connection is told twice.
    DoubleOnClose,
    /// The end of a connection is not told.
    NoOnClose,
    /// What the shared context wrote for one peer goes to the next one.
    PongToAnother,
    /// Any byte counts as heard, not only frames and progress.
    EveryByteIsHeard,
    /// A ping is queued behind one that has not left.
    PingBehindPing,
    /// A stale connection is closed without looking at its socket once more.
    NoLastLook,
    /// Messages are delivered after we queued our close frame.
    DeliverAfterClose,
    /// A control frame is put inside a data frame that is half sent.
    ControlInsideFrame,
    /// Bytes taken by the kernel are not taken off what is pending.
    PendingNotReduced,
    /// A send does not ask for a flush.
    LostDirty,
    /// A stall of ours counts as silence of the peers.
    StallBlamed,
    /// A connection is parked in the middle of a fragmented message.
    ParkedTooSoon,
    /// Bytes held for an unfinished message stay on the account.
    HeldLeaks,
    /// Who is here when a policy changes is judged by the new one as if it had always held.
    ChangeUnseen,
    /// The work of one peer has no bound within a turn.
    BudgetIgnored,
    /// Bytes that a share did not cover are forgotten.
    LeftoverLost,
    /// A host that has not finished with a message is not called again.
    UnfinishedForgotten,
    /// Memory is charged by what a message holds, not by what is allocated.
    ChargedTooLittle,
    /// A peer that we do not read is called stale.
    UnreadIsDead,
    /// A queue between threads wakes its receiver once and never again.
    MailWakeLost,
    /// What finds no room in a queue between threads is not counted.
    MailLossUncounted,
    /// A queue between threads holds one item more than it may.
    MailBoundOffByOne,
    /// Bytes of what was taken out of a queue between threads stay on its account.
    MailRoomLeaks,
    /// What is new in a queue between threads goes before what is left over.
    MailOvertakes,
    /// The budget of a turn does not hold for a queue between threads.
    MailBudgetIgnored,
    /// A step of a fan-out begins one app too late.
    #[cfg(feature = "gateway")]
    FanOutSkips,
    /// A step of a fan-out begins with the app at which the last one ended.
    #[cfg(feature = "gateway")]
    FanOutRepeats,
    /// A frame goes before those that are on their way.
    #[cfg(feature = "gateway")]
    FanOutOvertakes,
    /// Frames on their way are forgotten when their connection is gone.
    #[cfg(feature = "gateway")]
    OrphanLost,
    /// Frames on their way whose connection is gone are charged to no account.
    #[cfg(feature = "gateway")]
    OrphanUncharged,
    /// What is being read of a connection is kept until its close is through.
    #[cfg(feature = "gateway")]
    ReadingKept,
    /// The end of a connection that was replaced ends the place of its successor.
    #[cfg(feature = "gateway")]
    LateEndTakes,
    /// The wait for an app goes on when the app is back.
    #[cfg(feature = "gateway")]
    WaitGoesOn,
    /// The answer to an older question is taken for that to the open one.
    #[cfg(feature = "gateway")]
    AnyAnswerCounts,
    /// It is not counted how often an app was expected in vain.
    #[cfg(feature = "gateway")]
    MissesUncounted,
    /// A place that ends stays in the counts.
    #[cfg(feature = "gateway")]
    EndUncounted,
}

#[cfg(feature = "sabotage")]
impl Bug {
    /// Those of the loop, which the simulation catches.
    pub const OF_THE_LOOP: [Bug; 24] = [
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
    ];

    /// Those of the queues between threads, which their model catches.
    pub const OF_THE_MAIL: [Bug; 6] = [
        Bug::MailWakeLost,
        Bug::MailLossUncounted,
        Bug::MailBoundOffByOne,
        Bug::MailRoomLeaks,
        Bug::MailOvertakes,
        Bug::MailBudgetIgnored,
    ];

    /// Those of the relay, which its model of fan-outs catches.
    #[cfg(feature = "gateway")]
    pub const OF_THE_RELAY: [Bug; 6] = [
        Bug::FanOutSkips,
        Bug::FanOutRepeats,
        Bug::FanOutOvertakes,
        Bug::OrphanLost,
        Bug::OrphanUncharged,
        Bug::ReadingKept,
    ];

    /// Those of the states of places and apps, which their model in `src/relay/session/tests.rs` catches.
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

    /// Runs `f` on this thread with one bug in the code.
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
