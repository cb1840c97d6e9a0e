//! Learning the idle timeout of a NAT: the real `Cadence` of a cohort of 2 000 simulated peers.
//!
//! The NAT forgets a connection after an idle time that it does not tell. A connection that it has
//! forgotten answers nothing; its client reconnects once the gateway has closed it, or once it
//! sends something itself. Connections are also lost for other reasons, one by one and in bursts,
//! and heartbeats are late in bursts. Some peers have much to say, most have little.

use crate::claims::Claims;
use crate::options::Options;
use crate::table::{Table, secs};
use pulsegate::Micros;
use pulsegate::health::{Cadence, GapBucket, Pace, PaceInput};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const PEERS: usize = 2_000;
const HOUR: u64 = 3_600_000_000;
const DAY: u64 = 24 * HOUR;
const INTERVAL: Micros = Micros::from_secs(15);
const LONGEST: Micros = Micros::from_secs(3_600);
/// A heartbeat is late after 2 s, and its connection stale 45 s after that: it is at risk by then.
const LATE_US: u64 = 2_000_000;
const STALE_US: u64 = 45_000_000;

/// Losses that have nothing to do with the NAT: of each connection, one in 100 hours; and a burst
/// each 8 h on average that takes from 1 to 5 % of the cohort.
const LOSS_US: f64 = 100.0 * HOUR as f64;
const BURST_US: f64 = 8.0 * HOUR as f64;
/// Each peer is unreachable for 10 s on average after 490 s on average: 2 % of the time.
const BAD_US: f64 = 10e6;
const GOOD_US: f64 = 490e6;

/// A change of the NAT's timeout.
#[derive(Clone, Copy)]
struct Nat {
    first: Micros,
    then: Micros,
    changed_at: u64,
}

impl Nat {
    fn is_changed(&self) -> bool {
        self.first != self.then
    }

    fn timeout(&self, now: u64) -> u64 {
        if now < self.changed_at {
            self.first.0
        } else {
            self.then.0
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Ping,
    Data,
    Reconnect,
    Loss,
    Burst,
}

struct Peer {
    pace: Pace,
    /// Heartbeats since the latest late one.
    since_late: u32,
    is_open: bool,
    is_lost: bool,
    last_byte: u64,
    number: u32,
    /// Events of former connections are void.
    generation: u32,
    data_us: f64,
    bad_from: u64,
    bad_until: u64,
}

#[derive(Default, Clone, Copy)]
struct Day {
    pings: u64,
    /// Lost because they tried a gap that is longer than those in use.
    by_exploring: u64,
    /// Lost because the NAT was changed.
    by_change: u64,
    otherwise: u64,
    /// Time in which the interval in use was from 0.5 to 0.9 of the NAT's timeout.
    good_us: u64,
}

struct Sim {
    nat: Nat,
    cadence: Cadence,
    peers: Vec<Peer>,
    open: u32,
    events: BinaryHeap<Reverse<(u64, What, usize, u32)>>,
    rng: fastrand::Rng,
    days: [Day; 4],
    survived: [u64; 16],
    died: [u64; 16],
    /// The intervals in use, when they changed.
    changes: Vec<(u64, Micros)>,
    observed_at: u64,
}

impl Sim {
    fn new(nat: Nat, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let peers = (0..PEERS).map(|n| Peer {
            pace: Pace::Configured,
            since_late: 16,
            is_open: false,
            is_lost: false,
            last_byte: 0,
            number: 0,
            generation: 0,
            // One in ten has something to say each 3 minutes, the others each 2 hours.
            data_us: if n % 10 == 0 { 180e6 } else { 7_200e6 },
            bad_from: 0,
            bad_until: 0,
        });
        let mut sim = Sim {
            nat,
            cadence: Cadence::default(),
            peers: peers.collect(),
            open: 0,
            events: BinaryHeap::new(),
            rng: rng.fork(),
            days: [Day::default(); 4],
            survived: [0; 16],
            died: [0; 16],
            changes: Vec::new(),
            observed_at: 0,
        };
        for peer in 0..PEERS {
            let at = sim.exponential(60e6);
            sim.push(at, What::Reconnect, peer);
            let at = sim.exponential(sim.peers[peer].data_us);
            sim.push(at, What::Data, peer);
        }
        let (loss, burst) = (
            sim.exponential(LOSS_US / PEERS as f64),
            sim.exponential(BURST_US),
        );
        sim.push(loss, What::Loss, 0);
        sim.push(burst, What::Burst, 0);
        sim
    }

    fn exponential(&mut self, mean: f64) -> u64 {
        (-mean * (1.0 - self.rng.f64()).ln()) as u64
    }

    fn push(&mut self, at: u64, what: What, peer: usize) {
        let generation = self.peers[peer].generation;
        self.events.push(Reverse((at, what, peer, generation)));
    }

    fn run(&mut self, until: u64) {
        while let Some(Reverse((now, what, peer, generation))) = self.events.pop() {
            if now >= until {
                break;
            }
            match what {
                What::Ping if generation == self.peers[peer].generation => self.ping(peer, now),
                What::Ping => {}
                What::Data => self.data(peer, now),
                What::Reconnect => self.connect(peer, now),
                What::Loss => {
                    let which = self.rng.usize(0..PEERS);
                    self.peers[which].is_lost = true;
                    let next = now + self.exponential(LOSS_US / PEERS as f64);
                    self.push(next, What::Loss, 0);
                }
                What::Burst => {
                    let share = 0.01 + 0.04 * self.rng.f64();
                    for which in 0..PEERS {
                        self.peers[which].is_lost |= self.rng.f64() < share;
                    }
                    let next = now + self.exponential(BURST_US);
                    self.push(next, What::Burst, 0);
                }
            }
            self.observe(now);
        }
    }

    /// Returns the interval that the cohort uses.
    fn used(&self) -> Micros {
        let safe = self.cadence.safe().map_or(Pace::Configured, Pace::Safe);
        safe.interval(INTERVAL).max(INTERVAL)
    }

    fn observe(&mut self, now: u64) {
        let (used, timeout) = (self.used(), self.nat.timeout(now));
        let since = now - std::mem::replace(&mut self.observed_at, now);
        if (timeout / 2..=timeout / 10 * 9).contains(&used.0) {
            self.day(now).good_us += since;
        }
        if self.changes.last().is_none_or(|(_, last)| *last != used) {
            self.changes.push((now, used));
        }
    }

    fn day(&mut self, now: u64) -> &mut Day {
        &mut self.days[(now / DAY) as usize]
    }

    fn connect(&mut self, which: usize, now: u64) {
        self.open += 1;
        let first = now + self.rng.u64(0..INTERVAL.0);
        let peer = &mut self.peers[which];
        peer.generation += 1;
        (peer.is_open, peer.is_lost, peer.last_byte) = (true, false, now);
        (peer.pace, peer.since_late, peer.number) = (Pace::Configured, 16, 0);
        self.push(first, What::Ping, which);
    }

    /// Ends a connection that the NAT has forgotten (`by_nat`), or that is lost otherwise. Its
    /// client is back soon.
    fn lose(&mut self, which: usize, now: u64, back: u64, by_nat: bool) {
        let pace = self.peers[which].pace;
        let changed_at = self.nat.changed_at;
        let is_across = (self.peers[which].last_byte..=now).contains(&changed_at);
        let has_changed = self.nat.is_changed() && is_across;
        let day = self.day(now);
        match (by_nat, pace) {
            (true, Pace::Exploring(_)) if !has_changed => day.by_exploring += 1,
            (true, _) => day.by_change += 1,
            (false, _) => day.otherwise += 1,
        }
        self.cadence.leave(pace);
        self.open -= 1;
        let peer = &mut self.peers[which];
        (peer.is_open, peer.pace) = (false, Pace::Configured);
        peer.generation += 1;
        let back = back + self.exponential(15e6);
        self.push(back, What::Reconnect, which);
    }

    fn data(&mut self, which: usize, now: u64) {
        let next = now + self.exponential(self.peers[which].data_us);
        self.push(next, What::Data, which);
        let timeout = self.nat.timeout(now);
        let peer = &mut self.peers[which];
        if !peer.is_open {
            return;
        }
        let is_forgotten = now.saturating_sub(peer.last_byte) > timeout;
        if is_forgotten || peer.is_lost {
            // The client finds out by itself, so the gateway sees a new connection of it.
            let (silence, pace) = (Micros(now.saturating_sub(peer.last_byte)), peer.pace);
            self.cadence.on_lost(silence, pace, self.open, seconds(now));
            self.lose(which, now, now, is_forgotten);
        } else {
            peer.last_byte = peer.last_byte.max(now);
        }
    }

    fn ping(&mut self, which: usize, now: u64) {
        self.day(now).pings += 1;
        let timeout = self.nat.timeout(now);
        let round_trip = 40_000 + self.exponential(60_000.0);
        self.pass_bad_periods(which, now);
        let peer = &mut self.peers[which];
        peer.since_late += 1;
        let gap = now.saturating_sub(peer.last_byte);
        let is_forgotten = gap > timeout;
        let answered_at = match peer.bad_from <= now {
            true => peer.bad_until + round_trip,
            false => now + round_trip,
        };
        let stale_at = now + LATE_US + STALE_US;
        if is_forgotten || peer.is_lost || answered_at > stale_at {
            let (pace, is_lost) = (peer.pace, peer.is_lost);
            self.died[bucket(gap)] += u64::from(gap > 14_000_000);
            // Heartbeats each 5 s until it is stale.
            self.day(now).pings += 9;
            let second = seconds(now);
            self.cadence.on_died(Micros(gap), pace, self.open, second);
            self.lose(which, now, stale_at, is_forgotten && !is_lost);
            return;
        }
        peer.last_byte = answered_at;
        peer.number += 1;
        if answered_at > now + LATE_US {
            // While it is at risk, its interval is 5 s.
            peer.since_late = 0;
            let short = (answered_at - now - LATE_US) / 5_000_000;
            self.day(now).pings += short;
        } else {
            self.survived[bucket(gap)] += u64::from(gap > 14_000_000);
            let pace = peer.pace;
            self.cadence.on_survived(Micros(gap), pace, 1, self.open);
        }
        let peer = &mut self.peers[which];
        let input = PaceInput {
            configured: INTERVAL,
            longest: LONGEST,
            is_calm: peer.since_late >= 3,
            is_at_risk: peer.since_late < 2,
            unanswered: 0,
            may_grow: peer.number.is_multiple_of(4),
            members: self.open,
            now: seconds(now),
        };
        peer.pace = self.cadence.choose(peer.pace, &input);
        let sent = if answered_at > now + LATE_US {
            answered_at
        } else {
            now
        };
        let next = sent + peer.pace.interval(INTERVAL).0;
        self.push(next, What::Ping, which);
    }

    fn pass_bad_periods(&mut self, which: usize, now: u64) {
        while self.peers[which].bad_until <= now {
            let from = self.peers[which].bad_until + self.exponential(GOOD_US);
            let until = from + self.exponential(BAD_US);
            let peer = &mut self.peers[which];
            (peer.bad_from, peer.bad_until) = (from, until);
        }
    }
}

fn bucket(gap: u64) -> usize {
    GapBucket::of(Micros(gap)).map_or(0, |bucket| bucket.index())
}

fn seconds(now: u64) -> u32 {
    (now / 1_000_000) as u32
}

/// Runs the simulation of each NAT and prints what was learned. A full run has 48 virtual hours,
/// and eight seeds.
pub fn run(options: &Options, claims: &mut Claims) {
    let hours = options.size(6, 48);
    let seeds = options.size(1, 8);
    println!("\n## NATs");
    println!(
        "\n{PEERS} peers behind each, {hours} virtual hours. The interval is 15 s until the cohort \
         knows better, and at most 1 h. The tables show the first of {seeds} seeds, claims the \
         worst."
    );
    let mut table = Table::new(&[
        "NAT",
        "interval",
        "of the NAT's",
        "connections at the end: p10",
        "p50",
        "day",
        "pings",
        "lost exploring",
        "lost by a change",
        "lost otherwise",
        "interval 0.5 to 0.9",
    ]);
    let mut observed = Table::new(&["NAT", "idle gap from", "survived", "died"]);
    for (first, then) in NATS {
        let mut worst = Worst::default();
        for index in 0..seeds {
            let mut rng = options.rng("nat", index);
            let sim = simulate(first, then, hours, rng.u64(..));
            worst.take(&sim, hours);
            if index == 0 {
                sim.tell(hours, &mut table, &mut observed);
            }
        }
        if first == then && !options.is_short {
            worst.check(first, claims);
        }
    }
    table.print("What was learned, in each day; pings in percent of those of a fixed interval.");
    observed.print("Observations per bucket.");
}

/// The timeouts of the NATs in seconds, in the first half of the time and in the second.
const NATS: [(u64, u64); 5] = [
    (60, 60),
    (300, 300),
    (1_800, 1_800),
    (1_800, 300),
    (300, 1_800),
];

fn simulate(first: u64, then: u64, hours: u64, seed: u64) -> Sim {
    let nat = Nat {
        first: Micros::from_secs(first),
        then: Micros::from_secs(then),
        changed_at: hours * HOUR / 2,
    };
    let mut sim = Sim::new(nat, seed);
    sim.run(hours * HOUR);
    sim.observe(hours * HOUR);
    sim
}

/// The worst figures of several seeds.
#[derive(Default)]
struct Worst {
    parts: Vec<f64>,
    /// Percent of the connections, and of the pings, of the last day.
    explored_percent: f64,
    ping_percent: f64,
}

impl Worst {
    fn take(&mut self, sim: &Sim, hours: u64) {
        let end = hours * HOUR;
        let last = &sim.days[((end - 1) / DAY) as usize];
        self.parts.push(sim.part(end));
        self.explored_percent = self.explored_percent.max(percent(last.by_exploring));
        self.ping_percent = self.ping_percent.max(last.ping_percent(DAY.min(end)));
    }

    fn check(&self, timeout: u64, claims: &mut Claims) {
        let least = self.parts.iter().copied().fold(f64::MAX, f64::min);
        let most = self.parts.iter().copied().fold(0.0, f64::max);
        claims.require(
            least >= 0.5 && most <= 0.9,
            format!(
                "NAT of {timeout} s: the interval is {least:.2} to {most:.2} of it (0.5 to 0.9)"
            ),
        );
        let explored = self.explored_percent;
        claims.require(
            explored <= 0.5,
            format!("NAT of {timeout} s: {explored:.2} % lost by exploring on day 2 (at most 0.5)"),
        );
        if timeout >= 300 {
            let pings = self.ping_percent;
            claims.require(
                pings <= 50.0,
                format!("NAT of {timeout} s: {pings:.1} % of the pings on day 2 (at most 50)"),
            );
        }
    }
}

impl Day {
    fn ping_percent(&self, span: u64) -> f64 {
        self.pings as f64 * 100.0 / (PEERS as f64 * span as f64 / INTERVAL.0 as f64)
    }
}

impl Sim {
    /// Returns the interval in use at the end, as a part of the NAT's timeout.
    fn part(&self, end: u64) -> f64 {
        self.used().0 as f64 / self.nat.timeout(end) as f64
    }

    fn tell(&self, hours: u64, table: &mut Table, observed: &mut Table) {
        let end = hours * HOUR;
        let [was, is] = [0, end].map(|at| self.nat.timeout(at) / 1_000_000);
        let name = match was == is {
            true => format!("{is} s"),
            false => format!("{was} s, then {is} s"),
        };
        let mut intervals: Vec<f64> = (self.peers.iter())
            .map(|peer| peer.pace.interval(INTERVAL).as_secs_f64())
            .collect();
        intervals.sort_by(f64::total_cmp);
        let [p10, p50] = [10, 50].map(|p| secs(intervals[PEERS * p / 100]));
        for day in 0..hours.div_ceil(24) {
            let span = DAY.min(end - day * DAY);
            let (figures, until) = (&self.days[day as usize], day * DAY + span);
            let before = self.changes.iter().rfind(|(at, _)| *at < until);
            let used = before.map_or(INTERVAL, |(_, used)| *used);
            let part = used.0 as f64 / self.nat.timeout(until - 1) as f64;
            table.row(vec![
                name.clone(),
                secs(used.as_secs_f64()),
                format!("{part:.2}"),
                p10.clone(),
                p50.clone(),
                format!("{}", day + 1),
                format!("{:.1} %", figures.ping_percent(span)),
                format!(
                    "{} ({:.2} %)",
                    figures.by_exploring,
                    percent(figures.by_exploring)
                ),
                figures.by_change.to_string(),
                figures.otherwise.to_string(),
                format!("{:.0} %", figures.good_us as f64 * 100.0 / span as f64),
            ]);
        }
        for (bucket, (survived, died)) in GapBucket::all().zip(self.survived.iter().zip(self.died))
        {
            if survived + died > 0 {
                observed.row(vec![
                    name.clone(),
                    secs(bucket.edge().as_secs_f64()),
                    survived.to_string(),
                    died.to_string(),
                ]);
            }
        }
    }
}

fn percent(lost: u64) -> f64 {
    lost as f64 * 100.0 / PEERS as f64
}
