//! Compares sessions that outlive their connections with their model. `tests/models/sabotage.rs`
//! shows that it catches deliberate bugs.

use crate::pulse_model::run_counted;

#[test]
fn every_message_arrives_once_and_in_order_over_any_number_of_cuts() {
    let (mut cuts, mut up, mut down) = (0, 0, 0);
    for seed in 0..100 {
        match run_counted(seed, 2_000) {
            Ok(counts) => {
                assert!(counts.messages > 100 && counts.resumed > 10, "{counts:?}");
                cuts += counts.cuts;
                up += counts.cuts_with_unacknowledged_up;
                down += counts.cuts_with_unacknowledged_down;
            }
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    assert!(up * 2 >= cuts && down * 2 >= cuts, "{up}, {down} of {cuts}");
}
