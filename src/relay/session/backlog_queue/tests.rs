//! Tests of the queue: what is kept, in which order, and what is dropped first.

use super::*;

const LIMITS: ReplayLimits = ReplayLimits {
    max_messages: 4,
    max_bytes: 100,
    max_age: Micros::from_millis(1_000),
};

const WIDE: ReplayLimits = ReplayLimits {
    max_messages: 1_000,
    max_bytes: 1 << 20,
    max_age: Micros::from_millis(1_000),
};

const ROOM: &dyn Fn(usize) -> bool = &|_| true;

fn frame(text: &str) -> BuiltFrame {
    BuiltFrame::new(Message::text(text)).expect("a text")
}

fn at(ms: u64) -> Micros {
    Micros::from_millis(ms)
}

fn texts(queue: &mut BacklogQueue, now: u64) -> (Vec<usize>, u64) {
    let expired = queue.expire(at(now), &LIMITS);
    let mut texts = Vec::new();
    while let Some(waiting) = queue.first_waiting() {
        texts.push(match waiting {
            WaitingFrame::Copied(text) => text.len(),
            WaitingFrame::Shared(frame) => frame.wire_len() - 4,
        });
        queue.mark_sent(1);
    }
    queue.confirm(1);
    (texts, expired)
}

#[test]
fn what_is_confirmed_goes_and_what_is_in_doubt_is_counted() {
    for keep in [false, true] {
        let mut queue = BacklogQueue::default();
        for number in 1..=4 {
            let text = "x".repeat(number as usize);
            queue.push_sent(&frame(&text), number, at(0), &LIMITS, ROOM);
        }
        assert_eq!(queue.confirm(1), 1);
        // No byte of message 4 was sent.
        assert_eq!(queue.on_loss(3, keep), 2);
        queue.push_waiting(&frame("xxxxx"), at(10), &LIMITS, ROOM);
        let expected: &[usize] = if keep { &[2, 3, 4, 5] } else { &[4, 5] };
        assert_eq!(queue.waiting(), expected.len());
        assert_eq!(texts(&mut queue, 20), (expected.to_vec(), 0));
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }
}

#[test]
fn it_is_bounded_by_number_bytes_and_age_and_the_oldest_go_first() {
    let mut queue = BacklogQueue::default();
    for n in 0..6 {
        let dropped = queue.push_waiting(&frame(&"x".repeat(n)), at(0), &LIMITS, ROOM);
        assert_eq!(dropped.overflow, u64::from(n >= 4));
    }
    let dropped = queue.push_waiting(&frame(&"x".repeat(90)), at(0), &LIMITS, ROOM);
    assert_eq!(dropped.overflow, 3, "92 bytes and 7 are the most that fit");
    let dropped = queue.push_waiting(&frame("y"), at(1_001), &LIMITS, ROOM);
    assert_eq!((dropped.expired, dropped.overflow), (2, 0));
    assert_eq!(texts(&mut queue, 2_002), (vec![], 1));
    queue.push_waiting(&frame("y"), at(0), &LIMITS, ROOM);
    let too_big = queue.push_waiting(&frame(&"x".repeat(99)), at(0), &LIMITS, ROOM);
    assert_eq!(
        (too_big.overflow, queue.len()),
        (1, 1),
        "it alone is dropped"
    );
}

#[test]
fn frames_that_were_sent_and_evicted_sent_are_in_doubt_until_they_are_confirmed() {
    let mut queue = BacklogQueue::default();
    for number in 1..=6 {
        let dropped = queue.push_sent(&frame("x"), number, at(0), &LIMITS, ROOM);
        assert_eq!(dropped, DropCounts::default(), "they have been sent");
    }
    queue.confirm(1);
    assert_eq!(
        queue.on_loss(6, false),
        6,
        "which of the two let go is not known"
    );
    for number in 1..=6 {
        queue.push_sent(&frame("x"), number, at(0), &LIMITS, ROOM);
    }
    queue.confirm(4);
    assert_eq!(queue.on_loss(6, false), 2);
    assert!(queue.is_empty());
}

/// Small and large frames, in any mixture, come out as they went in.
#[test]
fn frames_come_out_as_they_went_in_whatever_their_size() {
    let mut rng = fastrand::Rng::with_seed(14);
    let (mut queue, mut model) = (BacklogQueue::default(), VecDeque::new());
    for _ in 0..20_000 {
        if rng.bool() && model.len() < 60 {
            let sizes = [0, 1, 125, 126, 511, 512, 513, 3_000];
            let text = "é".repeat(sizes[rng.usize(0..sizes.len())] / 2);
            let dropped = queue.push_waiting(&frame(&text), at(0), &WIDE, ROOM);
            assert_eq!(dropped, DropCounts::default());
            model.push_back(text.len());
        } else if let Some(len) = model.pop_front() {
            let got = match queue.first_waiting().expect("a frame") {
                WaitingFrame::Copied(text) => text.len(),
                WaitingFrame::Shared(frame) => frame.wire_len() - 4,
            };
            assert_eq!(got, len);
            queue.mark_sent(7);
            assert_eq!(queue.confirm(7), 1);
        }
        let wire: usize = model.iter().map(|len| wire_len(*len)).sum();
        assert_eq!((queue.len(), queue.bytes()), (model.len(), wire));
    }
}

#[test]
fn what_is_allocated_is_little_more_than_what_is_kept_and_is_given_back() {
    let mut queue = BacklogQueue::default();
    for _ in 0..1_000 {
        queue.push_waiting(&frame("0123456789"), at(0), &WIDE, ROOM);
    }
    let needed = 1_000 * (size_of::<Entry>() + 10);
    let allocated = queue.allocated();
    assert!((needed..needed * 5 / 4).contains(&allocated), "{allocated}");
    for _ in 0..990 {
        queue.mark_sent(1);
    }
    queue.confirm(1);
    assert!(queue.allocated() < 4_096, "{}", queue.allocated());
}

#[test]
fn without_room_the_oldest_of_the_same_backlog_make_room_or_the_frame_is_dropped() {
    const NONE: &dyn Fn(usize) -> bool = &|_| false;
    let mut queue = BacklogQueue::default();
    let alone = queue.push_waiting(&frame("x"), at(0), &WIDE, NONE);
    assert_eq!((alone.overflow, queue.len()), (1, 0));
    for text in ["aa", "bb", "cc"] {
        queue.push_waiting(&frame(text), at(0), &WIDE, ROOM);
    }
    let before = queue.allocated();
    for n in 0..100 {
        let dropped = queue.push_waiting(&frame("dd"), at(0), &WIDE, NONE);
        assert!(dropped.overflow <= 1 && queue.len() >= 3, "{n}");
        assert_eq!(queue.allocated(), before);
    }
    // A large frame needs room for large frames, and must not evict others in vain.
    let (large, larger) = ("x".repeat(600), "x".repeat(601));
    let dropped = queue.push_waiting(&frame(&large), at(0), &WIDE, NONE);
    assert_eq!((dropped.overflow, queue.allocated()), (1, before));
    queue.push_waiting(&frame(&larger), at(0), &WIDE, ROOM);
    let len = queue.len();
    let dropped = queue.push_waiting(&frame(&large), at(0), &WIDE, NONE);
    assert_eq!(dropped.overflow, len as u64, "all up to the large one");
    assert_eq!(texts(&mut queue, 0), (vec![600], 0));
}
