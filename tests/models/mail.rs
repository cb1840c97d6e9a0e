//! Compares the queues between threads with their model. `tests/models/sabotage.rs` shows that it
//! catches deliberate bugs.

#[test]
fn a_queue_keeps_order_bounds_counts_and_wakes() {
    for seed in 0..500 {
        if let Err(why) = crate::mailbox::run(seed) {
            panic!("seed {seed}: {why}");
        }
    }
}
