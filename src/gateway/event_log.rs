//! The operator's log: a line for each ended connection, and statistics. This code only formats;
//! the logger never blocks.

use crate::base::cause::{Cause, CauseTable};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Class, Ending, Io, Stats, TimerId};
use crate::health::HealthState;
use crate::host::{Classes, Identity, LogIdentity, LogReason, LogUserAgent, OrDash};
use crate::relay::RelayStats;
use log::Level;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;

/// The most lines about ended connections in a second. If there are more, the rest is summed up by
/// cause.
const LINES_PER_SECOND: u32 = 200;

const SECOND: Micros = Micros::from_secs(1);

/// Prints as the field of the connection that a connection was linked to.
struct LogPartner(Option<ConnId>);

impl fmt::Display for LogPartner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(partner) => write!(f, " partner={partner}"),
            None => Ok(()),
        }
    }
}

pub(super) struct EventLog {
    classes: Classes,
    interval: Micros,
    log_dropped: Box<dyn Fn() -> u64>,
    statistics_timer: Option<TimerId>,
    /// The statistics as of the last line of statistics in the log.
    last: Option<Stats>,
    last_relay: Option<RelayStats>,
    /// How many lines of statistics were skipped in a row because nothing had happened.
    skipped_lines: u64,
    limiter: LineLimiter,
    has_mangled_pong: bool,
}

/// While there are no connections and nothing happens, one in this many lines of statistics is
/// written.
const QUIET_LINES: u64 = 10;

/// The current second, in which lines about ended connections are counted.
struct LineLimiter {
    started: Micros,
    lines: u32,
    /// The number of suppressed lines by [`Cause::index`]; empty if there are none.
    suppressed: Vec<u64>,
    /// The timer that ends the second; set while lines are suppressed.
    timer: Option<TimerId>,
}

impl EventLog {
    pub(super) fn new(
        interval: Micros,
        log_dropped: Box<dyn Fn() -> u64>,
        classes: Classes,
    ) -> Self {
        let limiter = LineLimiter {
            started: Micros::ZERO,
            lines: 0,
            suppressed: Vec::new(),
            timer: None,
        };
        EventLog {
            classes,
            interval,
            log_dropped,
            statistics_timer: None,
            last: None,
            last_relay: None,
            skipped_lines: 0,
            limiter,
            has_mangled_pong: false,
        }
    }

    /// Returns the name of a class, or `none` for `None`.
    fn class_name(&self, class: Option<Class>) -> &'static str {
        class.map_or("none", |class| self.classes.name(class))
    }

    pub(super) fn start(&mut self, io: &mut Io<'_>) {
        self.statistics_timer = Some(io.start_timer(self.interval));
    }

    /// Sets the interval of the statistics from now on.
    pub(super) fn set_interval(&mut self, io: &mut Io<'_>, interval: Micros) {
        if self.interval != interval {
            self.interval = interval;
            if let Some(timer) = self.statistics_timer.take() {
                io.cancel_timer(timer);
                self.start(io);
            }
        }
    }

    /// Returns how many log lines were lost since the start.
    pub(super) fn log_dropped(&self) -> u64 {
        (self.log_dropped)()
    }

    pub(super) fn on_timer(
        &mut self,
        io: &mut Io<'_>,
        timer: TimerId,
        sessions: usize,
        relay: &RelayStats,
    ) {
        if self.statistics_timer == Some(timer) {
            self.skipped_lines = if self.is_quiet(io.stats(), relay) {
                self.skipped_lines + 1
            } else {
                0
            };
            if self.skipped_lines.is_multiple_of(QUIET_LINES) {
                self.log_statistics(io, sessions, relay);
            }
            self.start(io);
        } else if self.limiter.timer == Some(timer) {
            self.limiter.timer = None;
            self.limiter.log_suppressed(io.stats().causes);
        }
    }

    /// Describes a connection that still exists.
    fn conn_fields<'a>(&self, io: &Io<'_>, id: ConnId, peer: PeerInfo<'a>) -> ConnFields<'a> {
        ConnFields {
            class: self.class_name(io.class(id)),
            id,
            address: io.peer_addr(id),
            peer,
        }
    }

    pub(super) fn log_open(&self, io: &Io<'_>, id: ConnId, peer: PeerInfo<'_>, how: &str) {
        log::debug!("open {} how={how}", self.conn_fields(io, id, peer));
    }

    pub(super) fn log_close(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        peer: PeerInfo<'_>,
        end: &Ending,
    ) {
        let level = match end.cause {
            cause if cause == Cause::STALE => Level::Warn,
            cause if cause.is_check() => Level::Debug,
            _ => Level::Info,
        };
        if !log::log_enabled!(level) || !self.limiter.admit(io, end.cause) {
            return;
        }
        let conn = ConnFields {
            class: self.class_name(end.class),
            id,
            address: Some(end.peer_addr),
            peer,
        };
        log::log!(
            level,
            "close {conn} age_ms={} silence_ms={} unanswered={} rtt_us={} bytes_in={} \
             bytes_out={} messages_in={} \
             messages_out={} cause={} code={} by={} clean={} reason={}{}",
            end.age.as_millis(),
            end.silence.as_millis(),
            end.unanswered,
            OrDash(end.rtt.srtt_us()),
            end.traffic.bytes_in,
            end.traffic.bytes_out,
            end.traffic.messages_in,
            end.traffic.messages_out,
            end.cause,
            end.code,
            self.classes.ended_by(end),
            end.clean,
            LogReason(&end.reason),
            LogPartner(end.partner.map(|partner| partner.id)),
        );
    }

    /// Logs a connection that would have been closed as stale.
    pub(super) fn log_would_close(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        peer: PeerInfo<'_>,
        silence: Micros,
    ) {
        if log::log_enabled!(Level::Warn) && self.limiter.admit(io, Cause::STALE) {
            log::warn!(
                "stale {} silence_ms={} would_close=true effect=\"not closed: judge=report for \
                 this class\"",
                self.conn_fields(io, id, peer),
                silence.as_millis()
            );
        }
    }

    /// Logs a connection that was heard again after it would have been closed.
    pub(super) fn log_false_alarm(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        peer: PeerInfo<'_>,
        silence: Micros,
    ) {
        if log::log_enabled!(Level::Warn) && self.limiter.admit(io, Cause::STALE) {
            log::warn!(
                "heard {} silence_ms={} would_close=wrong effect=\"a close would have cut a live \
                 peer: its timeout is too short\"",
                self.conn_fields(io, id, peer),
                silence.as_millis()
            );
        }
    }

    /// Logs a peer that sends more than its share of the loop's work.
    pub(super) fn log_throttled(
        &self,
        io: &Io<'_>,
        id: ConnId,
        peer: PeerInfo<'_>,
        waited: Micros,
    ) {
        log::warn!(
            "throttled {} waited_ms={} effect=\"it sends too much; its input is processed in part, \
             turn by turn\"",
            self.conn_fields(io, id, peer),
            waited.as_millis()
        );
    }

    /// Logs the first client that changes the payloads of pings; further ones are only counted.
    pub(super) fn log_mangled_pong(
        &mut self,
        io: &Io<'_>,
        id: ConnId,
        peer: PeerInfo<'_>,
        payload: &[u8],
    ) {
        if std::mem::replace(&mut self.has_mangled_pong, true) {
            return;
        }
        log::warn!(
            "pong mangled {} bytes={} effect=\"the peer counts as alive; no round-trip time; \
             further ones are not logged\"",
            self.conn_fields(io, id, peer),
            payload.len()
        );
    }

    /// Returns whether there are no connections and nothing has happened since the last line.
    /// Health checks do not count.
    fn is_quiet(&self, now: &Stats, relay: &RelayStats) -> bool {
        let fresh = Stats::new(now.classes.len(), now.causes);
        let last = self.last.as_ref().unwrap_or(&fresh);
        let same = |cause: Cause| {
            let at = cause.index();
            cause.is_check()
                || now.closed(at) == last.closed(at) && now.rejected[at] == last.rejected[at]
        };
        let jobs = |r: &RelayStats| r.starts + r.revivals + r.stops + r.webhooks_failed;
        now.live() == 0
            && now.opened() == last.opened()
            && (now.stalls, now.accept_pauses) == (last.stalls, last.accept_pauses)
            && now.causes.all().all(same)
            && relay.absent.iter().all(|n| *n == 0)
            && jobs(relay) == self.last_relay.as_ref().map_or(0, jobs)
    }

    pub(super) fn log_statistics(&mut self, io: &Io<'_>, sessions: usize, relay: &RelayStats) {
        let now = io.stats();
        self.limiter.log_suppressed(now.causes);
        let fresh = Stats::new(now.classes.len(), now.causes);
        let last = self.last.as_ref().unwrap_or(&fresh);
        let mut line = format!("stats sessions={sessions}");
        for (name, class) in self.classes.names().zip(&now.classes) {
            let _ = write!(line, " {name}={}", class.live);
        }
        let closed = |stats: &Stats, cause| stats.closed(cause);
        let rejected = |stats: &Stats, cause: usize| stats.rejected[cause];
        let rtt = now.rtt().since(&last.rtt());
        let lateness = now.lateness.since(&last.lateness);
        let _ = write!(
            line,
            " suspects={} opened={} closed={} rejected={} pings={} pongs={} rtt_p50_us={} \
             rtt_p99_us={} lateness_p99_us={} \
             turns={} stalls={} stalled_ms={} pending_bytes={} held_bytes={} host_bytes={} \
             accept_pauses={} log_dropped={}",
            now.suspects(),
            now.opened() - last.opened(),
            CauseCounts(now, last, closed),
            CauseCounts(now, last, rejected),
            now.pings() - last.pings(),
            now.pongs() - last.pongs(),
            OrDash(rtt.percentile(0.50)),
            OrDash(rtt.percentile(0.99)),
            OrDash(lateness.percentile(0.99)),
            now.turns - last.turns,
            now.stalls - last.stalls,
            (now.stalled - last.stalled).as_millis(),
            now.pending_bytes,
            now.held_bytes,
            now.host_bytes,
            now.accept_pauses - last.accept_pauses,
            (self.log_dropped)(),
        );
        let before = self.last_relay.take().unwrap_or_default();
        let _ = write!(line, "{}", RelayFields(relay, &before));
        log::info!("{line}");
        self.last = Some(now.clone());
        self.last_relay = Some(relay.clone());
    }
}

impl LineLimiter {
    /// Returns whether there is room for one more line in this second; if not, counts it as
    /// suppressed.
    fn admit(&mut self, io: &mut Io<'_>, cause: Cause) -> bool {
        if io.now() - self.started >= SECOND {
            self.log_suppressed(io.stats().causes);
            (self.started, self.lines) = (io.now(), 0);
        }
        self.lines += 1;
        let admitted = self.lines <= LINES_PER_SECOND;
        if !admitted {
            let causes = io.stats().causes;
            self.suppressed.resize(causes.count(), 0);
            self.suppressed[cause.index()] += 1;
            if self.timer.is_none() {
                self.timer = Some(io.start_timer(SECOND));
            }
        }
        admitted
    }

    fn log_suppressed(&mut self, causes: CauseTable) {
        let total: u64 = self.suppressed.iter().sum();
        if total > 0 {
            let by_cause = SuppressedCounts(causes, &self.suppressed);
            log::warn!(
                "close suppressed={total}{by_cause} effect=\"these ends have no line of their own\""
            );
            self.suppressed.fill(0);
        }
    }
}

pub(super) fn state_name(state: HealthState) -> &'static str {
    match state {
        HealthState::Healthy => "healthy",
        HealthState::Suspect => "suspect",
    }
}

/// What a log line shows about a connection: its identity and its user agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerInfo<'a>(pub(super) Option<&'a Identity>, pub(super) Option<&'a str>);

/// The connection that a log line is about: `class=… user=… package=… id=… peer=… user_agent=…`
struct ConnFields<'a> {
    class: &'static str,
    id: ConnId,
    address: Option<SocketAddr>,
    peer: PeerInfo<'a>,
}

impl fmt::Display for ConnFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PeerInfo(identity, user_agent) = self.peer;
        write!(
            f,
            "class={} {} id={} peer={} user_agent={}",
            self.class,
            LogIdentity(identity),
            self.id,
            OrDash(self.address),
            OrDash(user_agent.map(LogUserAgent))
        )
    }
}

/// Writes a total with its parts: `3(stale:1,peer_eof:2)`.
struct CauseCounts<'a, F>(&'a Stats, &'a Stats, F);

impl<F: Fn(&Stats, usize) -> u64> fmt::Display for CauseCounts<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grown = |cause: &Cause| {
            let at = cause.index();
            self.2(self.0, at) - self.2(self.1, at)
        };
        let causes = self.0.causes.all();
        let counts: Vec<(Cause, u64)> = causes.map(|cause| (cause, grown(&cause))).collect();
        write!(f, "{}", counts.iter().map(|(_, n)| n).sum::<u64>())?;
        let parts = counts.iter().filter(|(_, n)| *n > 0);
        for (nth, (cause, n)) in parts.enumerate() {
            let open = if nth == 0 { "(" } else { "," };
            write!(f, "{open}{cause}:{n}")?;
        }
        if counts.iter().any(|(_, n)| *n > 0) {
            f.write_str(")")
        } else {
            Ok(())
        }
    }
}

/// Writes the relay's counters since the last line, and what is kept now.
struct RelayFields<'a>(&'a RelayStats, &'a RelayStats);

impl fmt::Display for RelayFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (now, last) = (self.0, self.1);
        let absence = now.absence.since(&last.absence);
        let ms = |q| OrDash(absence.percentile(q).map(|us| us / 1_000));
        let sum = |of: fn(&RelayStats) -> &[u64]| {
            of(now).iter().sum::<u64>() - of(last).iter().sum::<u64>()
        };
        write!(
            f,
            " absent={} absence_p50_ms={} absence_p99_ms={} resumes={} takeovers={} \
             false_deaths={} flapping={} relayed={} unrouted={} forbidden={} malformed={} \
             replayed={} doubtful={} \
             dropped={} kept={} webhooks={} webhooks_failed={}",
            now.absent.iter().sum::<u64>(),
            ms(0.50),
            ms(0.99),
            sum(|s| &s.resumes),
            sum(|s| &s.takeovers),
            sum(|s| &s.false_deaths),
            sum(|s| &s.flapping),
            sum(|s| &s.relayed),
            now.unrouted - last.unrouted,
            now.forbidden - last.forbidden,
            now.malformed - last.malformed,
            now.replayed - last.replayed,
            now.doubtful - last.doubtful,
            sum(|s| &s.dropped),
            now.kept,
            now.starts + now.revivals + now.stops - last.starts - last.revivals - last.stops,
            now.webhooks_failed - last.webhooks_failed,
        )
    }
}

/// Writes suppressed lines by cause: ` stale=12 peer_eof=3`
struct SuppressedCounts<'a>(CauseTable, &'a [u64]);

impl fmt::Display for SuppressedCounts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.all().map(|cause| (cause, self.1[cause.index()]));
        for (cause, n) in counts.filter(|(_, n)| *n > 0) {
            write!(f, " {cause}={n}")?;
        }
        Ok(())
    }
}
