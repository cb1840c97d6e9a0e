//! Tests of single steps of a queue, and of two threads at its ends.

use super::limits::{Budget, Counts, Limits, NoRoom, Overflow, QueueItem};
use super::loop_receiver::{LoopReceiver, to_loop};
use super::loop_sender::from_loop;
use super::swap_queue::SwapQueue;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A number with a given size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SizedItem(u32, usize);

impl QueueItem for SizedItem {
    fn bytes(&self) -> usize {
        self.1
    }
}

impl QueueItem for u32 {
    fn bytes(&self) -> usize {
        size_of::<u32>()
    }
}

const FEW: Limits = Limits {
    count: 3,
    bytes: 100,
};
const MANY: Limits = Limits {
    count: 1_000,
    bytes: 1 << 20,
};

/// How long a test waits for another thread before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn take_all<T: QueueItem>(receiver: &mut LoopReceiver<T>) -> Vec<T> {
    let mut budget = Budget::new(MANY);
    std::iter::from_fn(|| receiver.take(&mut budget)).collect()
}

#[test]
fn records_come_in_order_and_the_oldest_go_first() {
    let (mut sender, receiver) = from_loop(FEW, Overflow::DropOldest);
    for n in 1..=5 {
        assert_eq!(sender.send(n), Ok(()));
    }
    assert_eq!(receiver.take(), [3, 4, 5]);
    assert_eq!(receiver.lost(), 2);
    assert!(receiver.take().is_empty());
}

#[test]
fn nothing_is_lost_and_no_sender_waits_while_the_taker_works() {
    let (mut sender, receiver) = from_loop(FEW, Overflow::DropOldest);
    assert_eq!(sender.send(1), Ok(()));
    // A receiver that has begun to take and is delayed.
    let queue = receiver.queue();
    queue.clear_wake();
    let at = queue.swap();
    let lock = queue.lock(at);
    assert_eq!(sender.send(2), Ok(()));
    assert_eq!(sender.send(3), Ok(()));
    assert_eq!(
        lock.items,
        [1],
        "what it takes is what was there when it began"
    );
    drop(lock);
    let mut taken = VecDeque::new();
    SwapQueue::move_items(&mut queue.lock(at), &mut taken);
    taken.iter().for_each(|item| queue.count_out(item.bytes()));
    taken.extend(receiver.take());
    assert_eq!(taken, [1, 2, 3]);
    assert_eq!(receiver.counts(), Counts::default());
}

#[test]
fn a_slow_taker_costs_no_record() {
    let (mut sender, receiver) = from_loop(FEW, Overflow::DropOldest);
    (1..=3).for_each(|n| assert_eq!(sender.send(n), Ok(())));
    // A taker has emptied the buffer, and stands still before it says so.
    let queue = receiver.queue();
    queue.clear_wake();
    let (at, mut taken) = (queue.swap(), VecDeque::new());
    SwapQueue::move_items(&mut queue.lock(at), &mut taken);
    (4..=6).for_each(|n| assert_eq!(sender.send(n), Ok(())));
    assert_eq!(receiver.lost(), 0);
    taken.iter().for_each(|item| queue.count_out(item.bytes()));
    assert_eq!(
        (taken, receiver.take()),
        ([1, 2, 3].into(), [4, 5, 6].into())
    );
    assert_eq!(receiver.counts(), Counts::default());
}

#[test]
fn what_finds_no_room_comes_back_and_is_counted() {
    let (sender, mut receiver) = to_loop(FEW, Overflow::Refuse);
    for n in 0..3 {
        assert_eq!(sender.send(SizedItem(n, 30)), Ok(()));
    }
    assert_eq!(
        sender.send(SizedItem(3, 1)),
        Err(NoRoom(SizedItem(3, 1))),
        "by count"
    );
    assert!(receiver.collect());
    let mut one = Budget::new(Limits { count: 1, ..FEW });
    assert_eq!(receiver.take(&mut one), Some(SizedItem(0, 30)));
    assert_eq!(receiver.take(&mut one), None);
    assert_eq!(
        sender.send(SizedItem(4, 41)),
        Err(NoRoom(SizedItem(4, 41))),
        "by bytes"
    );
    assert_eq!(sender.send(SizedItem(5, 40)), Ok(()));
    let counts = Counts {
        waiting: 3,
        bytes: 100,
        lost: 2,
    };
    assert_eq!(sender.counts(), counts);
    assert!(receiver.collect());
    assert_eq!(
        take_all(&mut receiver),
        [SizedItem(1, 30), SizedItem(2, 30), SizedItem(5, 40)]
    );
    assert_eq!(sender.send(SizedItem(6, 1_000)), Ok(()), "it waits alone");
    assert_eq!(sender.send(SizedItem(7, 0)), Err(NoRoom(SizedItem(7, 0))));
}

#[test]
fn other_limits_may_hold_for_some_items() {
    let (mut sender, receiver) = from_loop(FEW, Overflow::Refuse);
    let less = Limits { count: 1, ..FEW };
    assert_eq!(sender.send_within(1, less), Ok(()));
    assert_eq!(sender.send_within(2, less), Err(NoRoom(2)));
    assert_eq!(sender.send(3), Ok(()));
    assert_eq!(receiver.take(), [1, 3]);
}

#[test]
fn a_turn_takes_so_many_items_and_bytes() {
    let (sender, mut receiver) = to_loop(MANY, Overflow::Refuse);
    for n in 0..6 {
        assert_eq!(sender.send(SizedItem(n, 40)), Ok(()));
    }
    let turn = |receiver: &mut LoopReceiver<SizedItem>, count, bytes| {
        assert!(receiver.collect());
        let mut budget = Budget::new(Limits { count, bytes });
        let taken = std::iter::from_fn(|| receiver.take(&mut budget)).count();
        (taken, receiver.has_leftovers())
    };
    assert_eq!(turn(&mut receiver, 2, 1_000), (2, true));
    assert_eq!(
        turn(&mut receiver, 5, 41),
        (2, true),
        "bytes are left for a second"
    );
    assert_eq!(turn(&mut receiver, 5, 1), (1, true), "one at least");
    assert_eq!(turn(&mut receiver, 5, 40), (1, false));
}

#[test]
fn the_receiver_is_woken_once_until_it_collects() {
    let wakes = Arc::new(AtomicUsize::new(0));
    let counter = wakes.clone();
    let (sender, mut receiver) = to_loop(MANY, Overflow::Refuse);
    assert_eq!(sender.send(0), Ok(()));
    sender.set_wake(Box::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    let wakes = || wakes.load(Ordering::Relaxed);
    assert_eq!(wakes(), 1, "of what waits already");
    for n in 1..10 {
        assert_eq!(sender.send(n), Ok(()));
        sender.notify();
    }
    assert_eq!(wakes(), 1);
    assert!(receiver.collect());
    assert!(receiver.take_notification());
    assert!(!receiver.take_notification(), "all notifications are one");
    sender.notify();
    assert_eq!(wakes(), 2);
    assert!(receiver.collect());
    assert!(receiver.take_notification());
    assert_eq!(take_all(&mut receiver).len(), 10);
    assert_eq!(sender.send(10), Ok(()));
    assert_eq!(wakes(), 3);
}

#[test]
fn the_loop_comes_again_if_it_has_met_a_sender() {
    let (sender, mut receiver) = to_loop(MANY, Overflow::Refuse);
    assert_eq!(sender.send(1), Ok(()));
    sender.notify();
    let queue = sender.0.clone();
    let held = queue.lock(0);
    assert!(!receiver.collect(), "it does not wait");
    assert!(receiver.has_leftovers());
    assert_eq!(sender.send(2), Ok(()), "on the other buffer");
    assert!(!receiver.collect());
    assert!(
        !receiver.take_notification(),
        "it stands behind the first item"
    );
    drop(held);
    assert!(receiver.collect());
    assert!(receiver.take_notification());
    assert_eq!(take_all(&mut receiver), [1, 2]);
    assert!(!receiver.has_leftovers());
}

#[test]
fn work_that_is_not_finished_takes_room() {
    let (sender, mut receiver) = to_loop(FEW, Overflow::Refuse);
    for n in 0..3 {
        assert_eq!(sender.send(n), Ok(()));
    }
    assert!(receiver.collect());
    let kept = receiver.take_held().expect("the first");
    assert_eq!(sender.send(3), Err(NoRoom(3)));
    receiver.put_back(kept);
    assert_eq!(receiver.take_held(), Some(1));
    receiver.release(size_of::<u32>());
    assert_eq!(sender.send(3), Ok(()));
    receiver.add(4);
    assert_eq!(
        receiver.counts().waiting,
        4,
        "what the loop adds finds room always"
    );
    assert!(receiver.collect());
    assert_eq!(take_all(&mut receiver), [2, 0, 4, 3]);
    assert_eq!(receiver.counts().waiting, 0);
    assert_eq!(receiver.counts().bytes, 0);
}

#[test]
fn nothing_is_forgotten_between_two_threads() {
    let (sender, mut receiver) = to_loop(FEW, Overflow::Refuse);
    let (wake, woken) = mpsc::channel();
    // The channel's receiver may already be gone.
    sender.set_wake(Box::new(move || {
        let _ = wake.send(());
    }));
    let senders: Vec<_> = (0..2)
        .map(|nth| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for n in 0..50_000 {
                    while sender.send(2 * n + nth).is_err() {
                        std::thread::yield_now();
                    }
                }
                sender.notify();
            })
        })
        .collect();
    let mut next = [0, 1];
    let mut notified = false;
    while next != [100_000, 100_001] || !notified {
        woken.recv_timeout(PATIENCE).expect("a wake-up");
        loop {
            receiver.collect();
            for n in take_all(&mut receiver) {
                let nth = (n % 2) as usize;
                assert_eq!(n, next[nth], "each sender's own order");
                next[nth] += 2;
            }
            notified |= receiver.take_notification();
            if !receiver.has_leftovers() {
                break;
            }
        }
    }
    for sender in senders {
        sender.join().expect("no panic");
    }
    assert_eq!((receiver.counts().waiting, receiver.counts().bytes), (0, 0));
}
