//! The loop: opens connections at the pace of the ramp, serves them, plays their roles, and closes
//! them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token};

use crate::args::Args;
use crate::clock::{MILLI, SECOND, SwarmClock};
use crate::conn::{SharedState, SwarmConn};
use crate::conn_end::ConnEnd;
use crate::cpu::{self, CpuTime};
use crate::handshake::ClientHandshake;
use crate::measurements::Measurements;
use crate::plan::{self, Behavior};
use crate::rng::Rng;
use crate::target::path_of;

/// Runs the whole plan, or the part of it before `stop` is set.
///
/// # Errors
/// Only errors of the poll itself. Errors of connections are counted.
pub fn run(args: &Args, stop: &AtomicBool) -> io::Result<Measurements> {
    let mut swarm = Swarm::new(args)?;
    let mut events = Events::with_capacity(1_024);
    while swarm.stage != Stage::Over {
        swarm.open_due();
        swarm.wait(&mut events)?;
        for event in &events {
            swarm.handle_event(event);
        }
        swarm.run_due_tasks();
        swarm.advance(stop.load(Ordering::Relaxed));
        swarm.show_progress();
    }
    Ok(swarm.shared.measurements)
}

struct Swarm<'a> {
    args: &'a Args,
    poll: Poll,
    shared: SharedState,
    behaviors: Vec<Behavior>,
    /// The connections by number. Numbers are never reused, so an event can only belong to the
    /// connection of that number.
    conns: Vec<Option<SwarmConn>>,
    /// How many connections were started; this is also the number of the next one.
    started: u32,
    in_flight: u32,
    due: BinaryHeap<Reverse<(u64, u32, Task)>>,
    stage: Stage,
    next_progress: u64,
    pings_shown: u64,
    turn_began: u64,
    /// The CPU time used before the hold.
    hold_began_at: CpuTime,
    /// The text that talkers send.
    message: Vec<u8>,
}

/// A task of a connection at a planned time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// Give up the handshake, if it is not complete.
    EndHandshake,
    FallSilent,
    Talk,
    SlowRead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Connections are being opened; at this time the rest is given up.
    Ramp {
        until: u64,
    },
    Hold {
        since: u64,
        until: u64,
    },
    /// The swarm's close frames are sent.
    Farewell {
        until: u64,
    },
    Over,
}

/// The time limit of one handshake.
const HANDSHAKE_LIMIT: u64 = 10 * SECOND;
/// The time that the ramp may take in addition to its pace.
const RAMP_SLACK: u64 = 30 * SECOND;
/// The time limit for closing all connections.
const FAREWELL: u64 = 3 * SECOND;
/// The most connections that are started in one turn, so that pongs do not wait for a burst of
/// them.
const STARTS_PER_TURN: u32 = 32;
/// The time between two reads of a slow reader.
const SLOW_READ_INTERVAL: u64 = 100 * MILLI;

impl<'a> Swarm<'a> {
    fn new(args: &'a Args) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut rng = Rng::new(args.seed);
        let behaviors = plan::behaviors(args, &mut rng);
        let clock = SwarmClock::start();
        let now = clock.now();
        let pace = u64::from(args.connections) * SECOND / u64::from(args.ramp);
        let mut message = br#"{"type":"ping"}"#.to_vec();
        message.resize(args.talk_bytes, b' ');
        Ok(Swarm {
            args,
            shared: SharedState::new(poll.registry().try_clone()?, clock, rng, args.timeout),
            poll,
            behaviors,
            conns: (0..args.connections).map(|_| None).collect(),
            started: 0,
            in_flight: 0,
            due: BinaryHeap::new(),
            stage: Stage::Ramp {
                until: now + pace + RAMP_SLACK,
            },
            next_progress: now + SECOND,
            pings_shown: 0,
            turn_began: now,
            hold_began_at: CpuTime::default(),
            message,
        })
    }

    /// Starts the connections that are due at the pace of the ramp, within the limit on handshakes.
    fn open_due(&mut self) {
        let Stage::Ramp { .. } = self.stage else {
            return;
        };
        let allowed = self.shared.clock.now() * u64::from(self.args.ramp) / SECOND + 1;
        let allowed = allowed.min(self.args.connections.into()) as u32;
        for _ in 0..STARTS_PER_TURN {
            if self.started >= allowed || self.in_flight >= self.args.in_flight {
                break;
            }
            let number = self.started;
            self.started += 1;
            match self.open(number) {
                Ok(conn) => {
                    self.conns[number as usize] = Some(conn);
                    self.in_flight += 1;
                    let limit = self.shared.clock.now() + HANDSHAKE_LIMIT;
                    self.due.push(Reverse((limit, number, Task::EndHandshake)));
                }
                Err(end) => self.shared.measurements.count_failure(end.kind()),
            }
        }
    }

    fn open(&mut self, number: u32) -> Result<SwarmConn, ConnEnd> {
        let args = self.args;
        let source = args
            .sources
            .get(number as usize % args.sources.len().max(1))
            .copied();
        let request = ClientHandshake::begin(&args.target.host, &path_of(&args.path, number));
        let token = Token(number as usize);
        let behavior = self.behaviors[number as usize];
        SwarmConn::start(
            token,
            behavior,
            args.target.addr,
            source,
            request,
            &mut self.shared,
        )
    }

    /// Sleeps until a socket has an event, or a task is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let now = self.shared.clock.now();
        if let Stage::Hold { .. } = self.stage {
            let measurements = &mut self.shared.measurements;
            measurements.longest_turn = measurements.longest_turn.max(now - self.turn_began);
        }
        let sleep = Duration::from_micros(self.next_wake().saturating_sub(now));
        let polled = self.poll.poll(events, Some(sleep));
        self.turn_began = self.shared.clock.now();
        match polled {
            // A signal arrived: the next check of the stage handles it.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    fn next_wake(&self) -> u64 {
        let stage = match self.stage {
            Stage::Ramp { until } if self.can_start() => {
                let next = u64::from(self.started) * SECOND / u64::from(self.args.ramp);
                until.min(next)
            }
            Stage::Ramp { until } | Stage::Hold { until, .. } | Stage::Farewell { until } => until,
            Stage::Over => 0,
        };
        let task = self.due.peek().map_or(u64::MAX, |Reverse((at, _, _))| *at);
        stage.min(task).min(self.next_progress)
    }

    fn can_start(&self) -> bool {
        self.started < self.args.connections && self.in_flight < self.args.in_flight
    }

    fn handle_event(&mut self, event: &Event) {
        self.with_conn(event.token().0 as u32, |conn, shared| {
            conn.on_event(event, shared)
        });
    }

    /// Calls a connection, and counts its end if it ends.
    fn with_conn(
        &mut self,
        number: u32,
        act: impl FnOnce(&mut SwarmConn, &mut SharedState) -> Result<(), ConnEnd>,
    ) {
        let Some(conn) = &mut self.conns[number as usize] else {
            return;
        };
        let was_opening = conn.is_opening();
        let outcome = act(conn, &mut self.shared);
        if let Err(end) = &outcome {
            conn.count_end(end, &mut self.shared);
        }
        let has_opened = was_opening && !conn.is_opening();
        if was_opening && (has_opened || outcome.is_err()) {
            self.in_flight -= 1;
        }
        if outcome.is_err() {
            self.conns[number as usize] = None;
        } else if has_opened {
            self.begin_behavior(number);
        }
    }

    /// Starts a connection's role. Ghosts start theirs in the hold, others as soon as they are
    /// open.
    fn begin_behavior(&mut self, number: u32) {
        let now = self.shared.clock.now();
        match self.behaviors[number as usize] {
            Behavior::Plain | Behavior::Ghost => {}
            Behavior::Slow => {
                self.due
                    .push(Reverse((now + SLOW_READ_INTERVAL, number, Task::SlowRead)))
            }
            Behavior::Talker => {
                let phase = self.shared.rng.below(self.args.talk_interval);
                self.due.push(Reverse((now + phase, number, Task::Talk)));
            }
        }
    }

    fn run_due_tasks(&mut self) {
        let now = self.shared.clock.now();
        while let Some(&Reverse((at, number, task))) = self.due.peek() {
            if at > now {
                break;
            }
            self.due.pop();
            self.run_task(at, number, task);
        }
    }

    fn run_task(&mut self, at: u64, number: u32, task: Task) {
        let Some(conn) = &mut self.conns[number as usize] else {
            return;
        };
        match task {
            Task::EndHandshake if conn.is_opening() => {
                self.with_conn(number, |_, _| {
                    Err(ConnEnd::Refused("handshake_timeout".into()))
                });
            }
            Task::EndHandshake => {}
            Task::FallSilent => {
                self.shared.measurements.ghosts.silent += u64::from(conn.fall_silent())
            }
            Task::SlowRead | Task::Talk if !conn.is_open() => {}
            Task::SlowRead => {
                self.due
                    .push(Reverse((at + SLOW_READ_INTERVAL, number, task)));
                self.with_conn(number, |conn, shared| conn.read_slowly(shared));
            }
            Task::Talk => {
                self.due
                    .push(Reverse((at + self.args.talk_interval, number, task)));
                let message = std::mem::take(&mut self.message);
                self.with_conn(number, |conn, shared| conn.talk(&message, shared));
                self.message = message;
            }
        }
    }

    /// Goes to the next stage when the time of this one is over, or when it has nothing left to do.
    fn advance(&mut self, stopped: bool) {
        let now = self.shared.clock.now();
        let open = self.shared.measurements.open;
        match self.stage {
            Stage::Ramp { .. } if stopped => {
                self.shared.measurements.ramp_time = now;
                self.begin_farewell(now, stopped);
            }
            Stage::Ramp { until } => {
                let all_started = self.started == self.args.connections && self.in_flight == 0;
                if all_started || now >= until {
                    self.begin_hold(now);
                }
            }
            Stage::Hold { since, until } if stopped || now >= until || open == 0 => {
                self.shared.measurements.hold_time = now - since;
                self.shared.measurements.hold_cpu = cpu::cpu_time() - self.hold_began_at;
                self.begin_farewell(now, stopped);
            }
            Stage::Farewell { until } if now >= until || open == 0 => {
                self.shared.measurements.total_time = now;
                self.stage = Stage::Over;
            }
            Stage::Hold { .. } | Stage::Farewell { .. } | Stage::Over => {}
        }
    }

    fn begin_hold(&mut self, now: u64) {
        self.give_up_openings("not_opened_in_time");
        self.shared.measurements.ramp_time = now;
        self.hold_began_at = cpu::cpu_time();
        self.stage = Stage::Hold {
            since: now,
            until: now + self.args.duration,
        };
        for (number, behavior) in self.behaviors.iter().enumerate() {
            if *behavior == Behavior::Ghost {
                let at = now + plan::silent_after(self.args, &mut self.shared.rng);
                self.due
                    .push(Reverse((at, number as u32, Task::FallSilent)));
            }
        }
        // Scripts wait for this line.
        let measurements = &self.shared.measurements;
        eprintln!(
            "holding: {} open, {} failed, for {} s",
            measurements.open,
            measurements.failures(),
            self.args.duration / SECOND
        );
    }

    fn begin_farewell(&mut self, now: u64, stopped: bool) {
        self.give_up_openings("interrupted");
        self.shared.measurements.open_at_end = self.shared.measurements.open;
        self.shared.measurements.interrupted = stopped;
        self.stage = Stage::Farewell {
            until: now + FAREWELL,
        };
        for number in 0..self.args.connections {
            let Some(conn) = &self.conns[number as usize] else {
                continue;
            };
            if conn.is_open() {
                if conn.behavior() != Behavior::Ghost {
                    self.shared.measurements.count_survivor(conn.pings());
                }
                self.with_conn(number, |conn, shared| conn.close(shared));
            } else if conn.is_silent() {
                // The server never found this ghost; a ghost sends no close frame.
                self.conns[number as usize] = None;
                self.shared.measurements.open -= 1;
            }
        }
    }

    /// Counts connections as failed that are not open yet or were not started.
    fn give_up_openings(&mut self, why: &str) {
        for number in 0..self.started {
            if self.conns[number as usize]
                .as_ref()
                .is_some_and(SwarmConn::is_opening)
            {
                self.with_conn(number, |_, _| Err(ConnEnd::Refused(why.into())));
            }
        }
        while self.started < self.args.connections {
            self.started += 1;
            self.shared.measurements.count_failure(why.into());
        }
    }

    fn show_progress(&mut self) {
        let now = self.shared.clock.now();
        if now < self.next_progress {
            return;
        }
        self.next_progress += SECOND * (1 + (now - self.next_progress) / SECOND);
        let measurements = &self.shared.measurements;
        eprintln!(
            "{:>4} s  {} of {} open, {} failed, {} handshakes under way, {} pings (+{}), ghosts {} \
             of {} found, {} closed on us",
            now / SECOND,
            measurements.open,
            self.args.connections,
            measurements.failures(),
            self.in_flight,
            measurements.pings,
            measurements.pings - self.pings_shown,
            measurements.ghosts.found_count(),
            measurements.ghosts.silent,
            measurements.unexpected_count(),
        );
        self.pings_shown = measurements.pings;
    }
}
