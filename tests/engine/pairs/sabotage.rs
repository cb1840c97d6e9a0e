//! Deliberate bugs of dials and links, each with a test that must catch it.

use super::{closes, forwarding, opening};
use pulsegate::sabotage::{self, Bug};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns the test that catches a bug.
fn catcher(bug: Bug) -> fn() {
    match bug {
        Bug::RunForwardedTwice => forwarding::a_slow_reader_pauses_its_partner_and_gets_everything,
        Bug::TailLost => opening::what_stands_right_behind_either_handshake_arrives,
        Bug::WrongLegBlamed => closes::each_end_tells_the_other_side,
        Bug::ReadingNotResumed => forwarding::a_slow_reader_pauses_its_partner_and_gets_everything,
        Bug::MasksMixed => closes::each_end_tells_the_other_side,
        Bug::PingInsideFrame => forwarding::a_frame_that_is_forwarded_in_parts_lets_no_ping_in,
        Bug::BothClosesAsOne => closes::closes_that_cross_are_answered_each_with_its_own,
        other => panic!("{other:?} is no bug of links"),
    }
}

#[test]
fn every_deliberate_bug_is_caught() {
    for bug in Bug::OF_THE_LINKS {
        let test = catcher(bug);
        test();
        let caught = catch_unwind(AssertUnwindSafe(|| sabotage::with(bug, test)));
        assert!(caught.is_err(), "{bug:?} was not caught");
    }
}
