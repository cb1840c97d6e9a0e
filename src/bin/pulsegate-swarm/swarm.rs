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
use crate::clock::{Clock, MILLI, SECOND};
use crate::conn::{Commons, Conn};
use crate::cpu::{self, Cpu};
use crate::end::End;
use crate::plan::{self, Role};
use crate::rng::Rng;
use crate::tally::Tally;
use crate::target::path_of;
use crate::upgrade::Upgrade;

/// Runs the whole plan, or the part of it before `stop` is set.
///
/// # Errors
/// Only errors of the poll itself. Errors of connections are counted.
pub fn run(args: &Args, stop: &AtomicBool) -> io::Result<Tally> {
    let mut swarm = Swarm::new(args)?;
    let mut events = Events::with_capacity(1_024);
    while swarm.stage != Stage::Over {
        swarm.open_some();
        swarm.wait(&mut events)?;
        for event in &events {
            swarm.serve(event);
        }
        swarm.run_due();
        swarm.go_on(stop.load(Ordering::Relaxed));
        swarm.show_progress();
    }
    Ok(swarm.commons.tally)
}

struct Swarm<'a> {
    args: &'a Args,
    poll: Poll,
    commons: Commons,
    roles: Vec<Role>,
    /// The connections by number. Numbers are never reused, so an event can only belong to the
    /// connection of that number.
    conns: Vec<Option<Conn>>,
    /// How many connections were started; this is also the number of the next one.
    started: u32,
    in_flight: u32,
    due: BinaryHeap<Reverse<(u64, u32, Task)>>,
    stage: Stage,
    next_progress: u64,
    pings_shown: u64,
    turn_began: u64,
    /// The CPU time used before the hold.
    hold_began_at: Cpu,
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
    Sip,
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
const SIP_INTERVAL: u64 = 100 * MILLI;

impl<'a> Swarm<'a> {
    fn new(args: &'a Args) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut rng = Rng::new(args.seed);
        let roles = plan::roles(args, &mut rng);
        let clock = Clock::start();
        let now = clock.now();
        let pace = u64::from(args.connections) * SECOND / u64::from(args.ramp);
        let mut message = br#"{"type":"ping"}"#.to_vec();
        message.resize(args.talk_bytes, b' ');
        Ok(Swarm {
            args,
            commons: Commons::new(poll.registry().try_clone()?, clock, rng, args.timeout),
            poll,
            roles,
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
            hold_began_at: Cpu::default(),
            message,
        })
    }

    /// Starts the connections that are due at the pace of the ramp, within the limit on handshakes.
    fn open_some(&mut self) {
        let Stage::Ramp { .. } = self.stage else {
            return;
        };
        let allowed = self.commons.clock.now() * u64::from(self.args.ramp) / SECOND + 1;
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
                    let limit = self.commons.clock.now() + HANDSHAKE_LIMIT;
                    self.due.push(Reverse((limit, number, Task::EndHandshake)));
                }
                Err(end) => self.commons.tally.failed(end.kind()),
            }
        }
    }

    fn open(&mut self, number: u32) -> Result<Conn, End> {
        let args = self.args;
        let source = args
            .sources
            .get(number as usize % args.sources.len().max(1))
            .copied();
        let request = Upgrade::begin(&args.target.host, &path_of(&args.path, number));
        let token = Token(number as usize);
        let role = self.roles[number as usize];
        Conn::start(
            token,
            role,
            args.target.addr,
            source,
            request,
            &mut self.commons,
        )
    }

    /// Sleeps until a socket has an event, or a task is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let now = self.commons.clock.now();
        if let Stage::Hold { .. } = self.stage {
            let tally = &mut self.commons.tally;
            tally.longest_turn = tally.longest_turn.max(now - self.turn_began);
        }
        let sleep = Duration::from_micros(self.next_wake().saturating_sub(now));
        let polled = self.poll.poll(events, Some(sleep));
        self.turn_began = self.commons.clock.now();
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

    fn serve(&mut self, event: &Event) {
        self.with(event.token().0 as u32, |conn, commons| {
            conn.ready(event, commons)
        });
    }

    /// Calls a connection, and counts its end if it ends.
    fn with(&mut self, number: u32, act: impl FnOnce(&mut Conn, &mut Commons) -> Result<(), End>) {
        let Some(conn) = &mut self.conns[number as usize] else {
            return;
        };
        let was_opening = conn.is_opening();
        let outcome = act(conn, &mut self.commons);
        if let Err(end) = &outcome {
            conn.count_end(end, &mut self.commons);
        }
        let has_opened = was_opening && !conn.is_opening();
        if was_opening && (has_opened || outcome.is_err()) {
            self.in_flight -= 1;
        }
        if outcome.is_err() {
            self.conns[number as usize] = None;
        } else if has_opened {
            self.begin_role(number);
        }
    }

    /// Starts a connection's role. Ghosts start theirs in the hold, others as soon as they are
    /// open.
    fn begin_role(&mut self, number: u32) {
        let now = self.commons.clock.now();
        match self.roles[number as usize] {
            Role::Plain | Role::Ghost => {}
            Role::Slow => self
                .due
                .push(Reverse((now + SIP_INTERVAL, number, Task::Sip))),
            Role::Talker => {
                let phase = self.commons.rng.below(self.args.talk_interval);
                self.due.push(Reverse((now + phase, number, Task::Talk)));
            }
        }
    }

    fn run_due(&mut self) {
        let now = self.commons.clock.now();
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
                self.with(number, |_, _| Err(End::Refused("handshake_timeout".into())));
            }
            Task::EndHandshake => {}
            Task::FallSilent => self.commons.tally.ghosts.silent += u64::from(conn.fall_silent()),
            Task::Sip | Task::Talk if !conn.is_open() => {}
            Task::Sip => {
                self.due.push(Reverse((at + SIP_INTERVAL, number, task)));
                self.with(number, |conn, commons| conn.sip(commons));
            }
            Task::Talk => {
                self.due
                    .push(Reverse((at + self.args.talk_interval, number, task)));
                let message = std::mem::take(&mut self.message);
                self.with(number, |conn, commons| conn.talk(&message, commons));
                self.message = message;
            }
        }
    }

    /// Goes to the next stage when the time of this one is over, or when it has nothing left to do.
    fn go_on(&mut self, stopped: bool) {
        let now = self.commons.clock.now();
        let open = self.commons.tally.open;
        match self.stage {
            Stage::Ramp { .. } if stopped => {
                self.commons.tally.ramp_time = now;
                self.begin_farewell(now, stopped);
            }
            Stage::Ramp { until } => {
                let all_started = self.started == self.args.connections && self.in_flight == 0;
                if all_started || now >= until {
                    self.begin_hold(now);
                }
            }
            Stage::Hold { since, until } if stopped || now >= until || open == 0 => {
                self.commons.tally.hold_time = now - since;
                self.commons.tally.hold_cpu = cpu::spent() - self.hold_began_at;
                self.begin_farewell(now, stopped);
            }
            Stage::Farewell { until } if now >= until || open == 0 => {
                self.commons.tally.total_time = now;
                self.stage = Stage::Over;
            }
            Stage::Hold { .. } | Stage::Farewell { .. } | Stage::Over => {}
        }
    }

    fn begin_hold(&mut self, now: u64) {
        self.give_up_openings("not_opened_in_time");
        self.commons.tally.ramp_time = now;
        self.hold_began_at = cpu::spent();
        self.stage = Stage::Hold {
            since: now,
            until: now + self.args.duration,
        };
        for (number, role) in self.roles.iter().enumerate() {
            if *role == Role::Ghost {
                let at = now + plan::silent_after(self.args, &mut self.commons.rng);
                self.due
                    .push(Reverse((at, number as u32, Task::FallSilent)));
            }
        }
        // Scripts wait for this line.
        let tally = &self.commons.tally;
        eprintln!(
            "holding: {} open, {} failed, for {} s",
            tally.open,
            tally.failures(),
            self.args.duration / SECOND
        );
    }

    fn begin_farewell(&mut self, now: u64, stopped: bool) {
        self.give_up_openings("interrupted");
        self.commons.tally.open_at_end = self.commons.tally.open;
        self.commons.tally.interrupted = stopped;
        self.stage = Stage::Farewell {
            until: now + FAREWELL,
        };
        for number in 0..self.args.connections {
            let Some(conn) = &self.conns[number as usize] else {
                continue;
            };
            if conn.is_open() {
                if conn.role() != Role::Ghost {
                    self.commons.tally.lived_through(conn.pings());
                }
                self.with(number, |conn, commons| conn.leave(commons));
            } else if conn.is_silent() {
                // The server never found this ghost; a ghost sends no close frame.
                self.conns[number as usize] = None;
                self.commons.tally.open -= 1;
            }
        }
    }

    /// Counts connections as failed that are not open yet or were not started.
    fn give_up_openings(&mut self, why: &str) {
        for number in 0..self.started {
            if self.conns[number as usize]
                .as_ref()
                .is_some_and(Conn::is_opening)
            {
                self.with(number, |_, _| Err(End::Refused(why.into())));
            }
        }
        while self.started < self.args.connections {
            self.started += 1;
            self.commons.tally.failed(why.into());
        }
    }

    fn show_progress(&mut self) {
        let now = self.commons.clock.now();
        if now < self.next_progress {
            return;
        }
        self.next_progress += SECOND * (1 + (now - self.next_progress) / SECOND);
        let tally = &self.commons.tally;
        eprintln!(
            "{:>4} s  {} of {} open, {} failed, {} handshakes under way, {} pings (+{}), ghosts {} \
             of {} found, {} closed on us",
            now / SECOND,
            tally.open,
            self.args.connections,
            tally.failures(),
            self.in_flight,
            tally.pings,
            tally.pings - self.pings_shown,
            tally.ghosts.found_count(),
            tally.ghosts.silent,
            tally.unexpected_count(),
        );
        self.pings_shown = tally.pings;
    }
}
