//! Random senders and receivers of the queues between threads, compared with a plain list. One
//! thread acts as both ends, so each step is known.

use pulsegate::mail::{self, Budget, Counts, Limits, Overflow, QueueItem};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A frame: its number, and bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame(u32, usize);

impl QueueItem for Frame {
    fn bytes(&self) -> usize {
        self.1
    }
}

/// The expected contents of a queue.
struct Model {
    waiting: VecDeque<Frame>,
    limits: Limits,
    lost: u64,
    /// Whether the receiver was not notified since its last collection.
    is_quiet: bool,
    wakes: usize,
}

impl Model {
    fn new(rng: &mut fastrand::Rng) -> Self {
        Model {
            waiting: VecDeque::new(),
            limits: Limits {
                count: rng.usize(1..20),
                bytes: rng.usize(1..1_000),
            },
            lost: 0,
            is_quiet: true,
            // Setting the wake calls it once, for entries that wait already.
            wakes: 1,
        }
    }

    fn bytes(&self) -> usize {
        self.waiting.iter().map(|frame| frame.1).sum()
    }

    /// Returns whether the frame is taken.
    fn post(&mut self, frame: Frame, overflow: Overflow) -> bool {
        let is_full = self.waiting.len() >= self.limits.count
            || (!self.waiting.is_empty() && self.bytes() + frame.1 > self.limits.bytes);
        if overflow == Overflow::Refuse && is_full {
            self.lost += 1;
            return false;
        }
        self.waiting.push_back(frame);
        while self.waiting.len() > 1
            && overflow == Overflow::DropOldest
            && (self.waiting.len() > self.limits.count || self.bytes() > self.limits.bytes)
        {
            self.waiting.pop_front();
            self.lost += 1;
        }
        self.tell();
        true
    }

    fn tell(&mut self) {
        self.wakes += usize::from(self.is_quiet);
        self.is_quiet = false;
    }

    fn check(&self, counts: Counts, wakes: &AtomicUsize) -> Result<(), String> {
        let expected = Counts {
            waiting: self.waiting.len(),
            bytes: self.bytes(),
            lost: self.lost,
        };
        let wakes = wakes.load(Ordering::Relaxed);
        if counts != expected || wakes != self.wakes {
            let by = self.wakes;
            return Err(format!("{counts:?}, {wakes} wakes; not {expected:?}, {by}"));
        }
        Ok(())
    }
}

/// Runs one random history of a queue in each direction; returns what was wrong, if anything.
pub fn run(seed: u64) -> Result<(), String> {
    to_the_loop(seed)?;
    from_the_loop(seed)
}

fn counter() -> (Arc<AtomicUsize>, Box<dyn Fn() + Send + Sync>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    let count = wakes.clone();
    let wake = Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    (wakes, wake)
}

fn to_the_loop(seed: u64) -> Result<(), String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut model = Model::new(&mut rng);
    let (sender, mut receiver) = mail::to_loop(model.limits, Overflow::Refuse);
    let (wakes, wake) = counter();
    sender.set_wake(wake);
    let (mut collected, mut poked) = (0, false);
    for number in 0..400 {
        match rng.u8(0..8) {
            0..=4 => {
                let frame = Frame(number, rng.usize(0..120));
                let taken = model.post(frame.clone(), Overflow::Refuse);
                if sender.send(frame).is_ok() != taken {
                    return Err(format!("frame {number}: taken is not {taken}"));
                }
            }
            5 => {
                sender.notify();
                model.tell();
                poked = true;
            }
            _ => {
                let whole = receiver.collect();
                (collected, model.is_quiet) = (model.waiting.len(), true);
                let is_poked = receiver.take_notification();
                if !whole || is_poked != std::mem::take(&mut poked) {
                    return Err(format!("whole {whole}, poked {is_poked}"));
                }
                let limits = Limits {
                    count: rng.usize(0..12),
                    bytes: rng.usize(1..400),
                };
                let (mut budget, mut bytes) = (Budget::new(limits), 0);
                for _ in 0..limits.count.min(collected) {
                    if bytes >= limits.bytes {
                        break;
                    }
                    let (taken, expected) = (receiver.take(&mut budget), model.waiting.pop_front());
                    if taken != expected {
                        return Err(format!("{taken:?}, not {expected:?}"));
                    }
                    bytes += taken.map_or(0, |frame| frame.1);
                    collected -= 1;
                }
                if let Some(frame) = receiver.take(&mut budget) {
                    return Err(format!("{frame:?} beyond the budget"));
                }
            }
        }
        if receiver.has_leftovers() != (collected > 0) {
            return Err(format!("{collected} are left over"));
        }
        model.check(sender.counts(), &wakes)?;
    }
    Ok(())
}

fn from_the_loop(seed: u64) -> Result<(), String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut model = Model::new(&mut rng);
    let overflow = [Overflow::Refuse, Overflow::DropOldest][rng.usize(0..2)];
    let (mut sender, receiver) = mail::from_loop(model.limits, overflow);
    let (wakes, wake) = counter();
    receiver.set_wake(wake);
    for number in 0..400 {
        if rng.u8(0..10) > 0 {
            let frame = Frame(number, rng.usize(0..120));
            let taken = model.post(frame.clone(), overflow);
            if sender.send(frame).is_ok() != taken {
                return Err(format!("frame {number}: taken is not {taken}"));
            }
        } else {
            let (taken, expected) = (receiver.take(), std::mem::take(&mut model.waiting));
            model.is_quiet = true;
            if taken != expected {
                return Err(format!("{taken:?}, not {expected:?}"));
            }
        }
        model.check(sender.counts(), &wakes)?;
    }
    Ok(())
}
