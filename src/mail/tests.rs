//! Tests of single steps of a queue, and of two threads at its ends.

use super::limits::{Budget, Counts, Limits, Mail, NoRoom, Overflow};
use super::loop_receiver::{LoopReceiver, to_loop};
use super::loop_sender::from_loop;
use super::shelves::Shelves;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A number with a given size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item(u32, usize);

impl Mail for Item {
    fn bytes(&self) -> usize {
        self.1
    }
}

impl Mail for u32 {
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

fn take_all<T: Mail>(receiver: &mut LoopReceiver<T>) -> Vec<T> {
    let mut budget = Budget::new(MANY);
    std::iter::from_fn(|| receiver.take(&mut budget)).collect()
}

#[test]
fn records_come_in_order_and_the_oldest_go_first() {
    let (mut sender, receiver) = from_loop(FEW, Overflow::DropOldest);
    for n in 1..=5 {
        assert_eq!(sender.post(n), Ok(()));
    }
    assert_eq!(receiver.take(), [3, 4, 5]);
    assert_eq!(receiver.lost(), 2);
    assert!(receiver.take().is_empty());
}

#[test]
fn nothing_is_lost_and_no_sender_waits_while_the_taker_works() {
    let (mut sender, receiver) = from_loop(FEW, Overflow::DropOldest);
    assert_eq!(sender.post(1), Ok(()));
    // A receiver that has begun to take and is delayed.
    let shelves = receiver.shelves();
    shelves.look();
    let at = shelves.turn();
    let lock = shelves.lock(at);
    assert_eq!(sender.post(2), Ok(()));
    assert_eq!(sender.post(3), Ok(()));
    assert_eq!(
        lock.items,
        [1],
        "what it takes is what was there when it began"
    );
    drop(lock);
    let mut taken = VecDeque::new();
    Shelves::empty(&mut shelves.lock(at), &mut taken);
    taken.iter().for_each(|item| shelves.leave(item.bytes()));
    taken.extend(receiver.take());
    assert_eq!(taken, [1, 2, 3]);
    assert_eq!(receiver.counts(), Counts::default());
}

#[test]
fn a_slow_taker_costs_no_record() {
    let (mut sender, receiver) = from_loop(FEW, Overflow::DropOldest);
    (1..=3).for_each(|n| assert_eq!(sender.post(n), Ok(())));
    // A taker has emptied the shelf, and stands still before it says so.
    let shelves = receiver.shelves();
    shelves.look();
    let (at, mut taken) = (shelves.turn(), VecDeque::new());
    Shelves::empty(&mut shelves.lock(at), &mut taken);
    (4..=6).for_each(|n| assert_eq!(sender.post(n), Ok(())));
    assert_eq!(receiver.lost(), 0);
    taken.iter().for_each(|item| shelves.leave(item.bytes()));
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
        assert_eq!(sender.post(Item(n, 30)), Ok(()));
    }
    assert_eq!(sender.post(Item(3, 1)), Err(NoRoom(Item(3, 1))), "by count");
    assert!(receiver.collect());
    let mut one = Budget::new(Limits { count: 1, ..FEW });
    assert_eq!(receiver.take(&mut one), Some(Item(0, 30)));
    assert_eq!(receiver.take(&mut one), None);
    assert_eq!(
        sender.post(Item(4, 41)),
        Err(NoRoom(Item(4, 41))),
        "by bytes"
    );
    assert_eq!(sender.post(Item(5, 40)), Ok(()));
    let counts = Counts {
        waiting: 3,
        bytes: 100,
        lost: 2,
    };
    assert_eq!(sender.counts(), counts);
    assert!(receiver.collect());
    assert_eq!(
        take_all(&mut receiver),
        [Item(1, 30), Item(2, 30), Item(5, 40)]
    );
    assert_eq!(sender.post(Item(6, 1_000)), Ok(()), "it waits alone");
    assert_eq!(sender.post(Item(7, 0)), Err(NoRoom(Item(7, 0))));
}

#[test]
fn other_limits_may_hold_for_some_items() {
    let (mut sender, receiver) = from_loop(FEW, Overflow::Refuse);
    let less = Limits { count: 1, ..FEW };
    assert_eq!(sender.post_within(1, less), Ok(()));
    assert_eq!(sender.post_within(2, less), Err(NoRoom(2)));
    assert_eq!(sender.post(3), Ok(()));
    assert_eq!(receiver.take(), [1, 3]);
}

#[test]
fn a_turn_takes_so_many_items_and_bytes() {
    let (sender, mut receiver) = to_loop(MANY, Overflow::Refuse);
    for n in 0..6 {
        assert_eq!(sender.post(Item(n, 40)), Ok(()));
    }
    let turn = |receiver: &mut LoopReceiver<Item>, count, bytes| {
        assert!(receiver.collect());
        let mut budget = Budget::new(Limits { count, bytes });
        let taken = std::iter::from_fn(|| receiver.take(&mut budget)).count();
        (taken, receiver.has_left_over())
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
fn the_receiver_is_told_once_until_it_looks() {
    let told = Arc::new(AtomicUsize::new(0));
    let counter = told.clone();
    let (sender, mut receiver) = to_loop(MANY, Overflow::Refuse);
    assert_eq!(sender.post(0), Ok(()));
    sender.set_wake(Box::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    let told = || told.load(Ordering::Relaxed);
    assert_eq!(told(), 1, "of what waits already");
    for n in 1..10 {
        assert_eq!(sender.post(n), Ok(()));
        sender.poke();
    }
    assert_eq!(told(), 1);
    assert!(receiver.collect());
    assert!(receiver.take_poke());
    assert!(!receiver.take_poke(), "all pokes are one");
    sender.poke();
    assert_eq!(told(), 2);
    assert!(receiver.collect());
    assert!(receiver.take_poke());
    assert_eq!(take_all(&mut receiver).len(), 10);
    assert_eq!(sender.post(10), Ok(()));
    assert_eq!(told(), 3);
}

#[test]
fn the_loop_comes_again_if_it_has_met_a_sender() {
    let (sender, mut receiver) = to_loop(MANY, Overflow::Refuse);
    assert_eq!(sender.post(1), Ok(()));
    sender.poke();
    let shelves = sender.0.clone();
    let held = shelves.lock(0);
    assert!(!receiver.collect(), "it does not wait");
    assert!(receiver.has_left_over());
    assert_eq!(sender.post(2), Ok(()), "on the other shelf");
    assert!(!receiver.collect());
    assert!(!receiver.take_poke(), "it stands behind the first item");
    drop(held);
    assert!(receiver.collect());
    assert!(receiver.take_poke());
    assert_eq!(take_all(&mut receiver), [1, 2]);
    assert!(!receiver.has_left_over());
}

#[test]
fn work_that_is_not_finished_takes_room() {
    let (sender, mut receiver) = to_loop(FEW, Overflow::Refuse);
    for n in 0..3 {
        assert_eq!(sender.post(n), Ok(()));
    }
    assert!(receiver.collect());
    let kept = receiver.take_kept().expect("the first");
    assert_eq!(sender.post(3), Err(NoRoom(3)));
    receiver.put_back(kept);
    assert_eq!(receiver.take_kept(), Some(1));
    receiver.release(size_of::<u32>());
    assert_eq!(sender.post(3), Ok(()));
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
                    while sender.post(2 * n + nth).is_err() {
                        std::thread::yield_now();
                    }
                }
                sender.poke();
            })
        })
        .collect();
    let mut next = [0, 1];
    let mut poked = false;
    while next != [100_000, 100_001] || !poked {
        woken.recv_timeout(PATIENCE).expect("to be told");
        loop {
            receiver.collect();
            for n in take_all(&mut receiver) {
                let nth = (n % 2) as usize;
                assert_eq!(n, next[nth], "each sender's own order");
                next[nth] += 2;
            }
            poked |= receiver.take_poke();
            if !receiver.has_left_over() {
                break;
            }
        }
    }
    for sender in senders {
        sender.join().expect("no panic");
    }
    assert_eq!((receiver.counts().waiting, receiver.counts().bytes), (0, 0));
}
