//! What a link does to heartbeats over time: it delivers, loses or holds them.
//!
//! A heartbeat is a segment of TCP. If it is lost, TCP sends it again with a time-out that doubles
//! (RFC 6298 §5.5), so its answer comes some time after the link works again. A link that only
//! stands still, as in the traces of delivery gaps, delivers at the end of the gap.

use crate::traces::{GapTrace, Poll};
use pulsegate::Micros;

/// The first retransmission time-out in seconds: Linux's smallest, 200 ms, and an RTT of 100 ms.
const FIRST_TIMEOUT: f64 = 0.3;

/// The lowest, mean and highest RTT in seconds of a link whose trace has none.
const USUAL_RTT: [f64; 3] = [0.06, 0.08, 0.12];

/// What happens to a segment.
#[derive(Clone, Copy, PartialEq)]
pub enum LinkState {
    /// It arrives, unless it is among this share that is lost. The lowest, mean and highest RTT.
    Up { rtt: [f64; 3], loss: f64 },
    /// It is lost.
    Down,
    /// It waits for the end of the stretch.
    Holding,
}

/// A time in which a link is in one state.
#[derive(Clone, Copy)]
struct Stretch {
    from: f64,
    state: LinkState,
}

/// A link over time. After its end it delivers for ever.
pub struct Link {
    stretches: Vec<Stretch>,
    length: f64,
}

/// A heartbeat, and when its answer arrived.
#[derive(Clone, Copy, Debug)]
pub struct Ping {
    pub sent: Micros,
    pub answered: Option<Micros>,
}

impl Link {
    /// Creates a link from the start of each of its states, in order, and its length in seconds.
    pub fn new(states: impl IntoIterator<Item = (f64, LinkState)>, length: f64) -> Link {
        let stretch = |(from, state)| Stretch { from, state };
        let mut stretches: Vec<Stretch> = states.into_iter().map(stretch).collect();
        let is_ordered = stretches.is_sorted_by(|a, b| a.from <= b.from);
        assert!(is_ordered && stretches.first().is_some_and(|first| first.from == 0.0));
        let end = LinkState::Up {
            rtt: USUAL_RTT,
            loss: 0.0,
        };
        stretches.push(Stretch {
            from: length,
            state: end,
        });
        Link { stretches, length }
    }

    /// Replays a recording: from one poll to the next the link does what it did to the first. If
    /// it `loses` heartbeats, all of those after a poll that was lost whole are lost, and of others
    /// the share that was lost of their poll. Otherwise the former wait until the link works again.
    pub fn of_polls(polls: &[Poll], loses: bool) -> Link {
        let begin = polls[0].at;
        let state = |poll: &Poll| match (poll.rtt, loses) {
            (Some(rtt), true) => LinkState::Up {
                rtt,
                loss: poll.loss,
            },
            (Some(rtt), false) => LinkState::Up { rtt, loss: 0.0 },
            (None, true) => LinkState::Down,
            (None, false) => LinkState::Holding,
        };
        let last = polls[polls.len() - 1].at - begin;
        // The last poll lasts as long as the others do on average.
        let length = last * polls.len() as f64 / (polls.len() - 1) as f64;
        Link::new(
            polls.iter().map(|poll| (poll.at - begin, state(poll))),
            length,
        )
    }

    /// Replays a link with gaps: it delivers at once between them, and nothing within them.
    pub fn of_gaps(trace: &GapTrace) -> Link {
        let up = LinkState::Up {
            rtt: USUAL_RTT,
            loss: 0.0,
        };
        let mut states = vec![(0.0, up)];
        for (start, length) in &trace.gaps {
            states.push((*start, LinkState::Holding));
            states.push((start + length, up));
        }
        // A gap that begins where another ends: the link delivers once between them.
        states.dedup_by(|next, former| {
            let is_same_time = next.0 <= former.0 + 1e-9;
            if is_same_time {
                former.1 = next.1;
            }
            is_same_time
        });
        Link::new(states, trace.length)
    }

    /// Returns its length in seconds.
    pub fn length(&self) -> f64 {
        self.length
    }

    /// Returns the longest outage that overlaps this time: for how many seconds in a row the link
    /// did not deliver.
    pub fn outage_within(&self, from: f64, until: f64) -> f64 {
        let mut longest: f64 = 0.0;
        let mut begun: Option<f64> = None;
        for stretch in &self.stretches {
            let is_up = matches!(stretch.state, LinkState::Up { .. });
            if let Some(begin) = begun.filter(|_| is_up) {
                if begin < until && stretch.from > from {
                    longest = longest.max(stretch.from - begin);
                }
                begun = None;
            }
            if is_up && stretch.from > until {
                break;
            }
            if !is_up && begun.is_none() {
                begun = Some(stretch.from);
            }
        }
        longest
    }

    /// Returns the answers to heartbeats that are sent at these times. A peer that dies answers
    /// nothing from then on.
    pub fn answers(
        &self,
        sent: &[Micros],
        death: Option<f64>,
        rng: &mut fastrand::Rng,
    ) -> Vec<Ping> {
        let mut latest = 0.0_f64;
        let mut is_dead = false;
        let answer = |sent: &Micros| {
            let (read, answered) = self.answer(sent.as_secs_f64(), rng);
            // TCP delivers in order: what is behind a dead peer's heartbeat is not read either.
            is_dead |= death.is_some_and(|death| read >= death);
            latest = latest.max(answered);
            let at = Micros((latest * 1e6) as u64);
            Ping {
                sent: *sent,
                answered: (!is_dead).then_some(at),
            }
        };
        sent.iter().map(answer).collect()
    }

    /// Returns when a heartbeat of this time is read by the peer, and when its answer arrives.
    fn answer(&self, sent: f64, rng: &mut fastrand::Rng) -> (f64, f64) {
        let (mut at, mut timeout) = (sent, FIRST_TIMEOUT);
        loop {
            let (rtt, loss) = match self.state(at) {
                LinkState::Up { rtt, loss } => (rtt, loss),
                LinkState::Holding => (USUAL_RTT, 0.0),
                LinkState::Down => (USUAL_RTT, 1.0),
            };
            if rng.f64() >= loss {
                let half = draw_rtt(rtt, rng) / 2.0;
                let read = self.held_until(at) + half;
                return (read, self.held_until(read) + half);
            }
            at += timeout;
            timeout *= 2.0;
        }
    }

    /// Returns when the link delivers what reaches it at `at`. It delivers at the end of a gap even
    /// if another one begins there.
    fn held_until(&self, at: f64) -> f64 {
        let next = self.stretches.partition_point(|stretch| stretch.from <= at);
        match self.stretches[next - 1].state {
            LinkState::Holding => self.stretches[next].from,
            LinkState::Up { .. } | LinkState::Down => at,
        }
    }

    fn state(&self, at: f64) -> LinkState {
        let next = self.stretches.partition_point(|stretch| stretch.from <= at);
        self.stretches[next - 1].state
    }
}

/// Draws an RTT between the lowest and the highest, half of them below the mean.
fn draw_rtt([low, mean, high]: [f64; 3], rng: &mut fastrand::Rng) -> f64 {
    let place = rng.f64();
    match rng.bool() {
        true => low + (mean - low) * place,
        false => mean + (high - mean) * place,
    }
}

/// Checks the times of answers against those found by hand.
pub fn check() {
    let mut rng = fastrand::Rng::with_seed(1);
    let rtt = [0.1; 3];
    let up = LinkState::Up { rtt, loss: 0.0 };
    let states = [
        (0.0, up),
        (10.0, LinkState::Down),
        (24.0, up),
        (50.0, LinkState::Holding),
    ];
    let link = Link::new(states.into_iter().chain([(55.0, up)]), 100.0);
    let sent = [5.0, 10.0, 25.0, 50.5].map(|s| Micros((s * 1e6) as u64));
    let answered = |death| {
        let pings = link.answers(&sent, death, &mut rng.clone());
        pings
            .into_iter()
            .map(|ping| ping.answered.map(|at| (at.0 + 5_000) / 10_000))
            .collect()
    };
    let all: Vec<Option<u64>> = answered(None);
    // Sent again after 0.3, 0.9, 2.1, 4.5, 9.3 and 18.9 s; the next one waits for it.
    assert_eq!(all[..3], [Some(510), Some(2_900), Some(2_900)]);
    assert!((5_504..=5_513).contains(&all[3].unwrap_or(0)), "{all:?}");
    let dead: Vec<Option<u64>> = answered(Some(28.0));
    assert_eq!(dead[..3], [Some(510), None, None]);
    assert_eq!(
        [(0.0, 9.0), (0.0, 11.0), (30.0, 52.0)].map(|(a, b)| link.outage_within(a, b)),
        [0.0, 14.0, 5.0]
    );
    rng.bool();
}
