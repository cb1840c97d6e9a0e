//! The operator's log: a line for each ended connection or pair, and statistics. This code only
//! formats; the logger never blocks.

use super::ended_legs::{EndedLeg, EndedPair, LogPair};
use super::line_limiter::LineLimiter;
use super::log_ties::LogTies;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Class, Ending, Io, SilenceEvidence, Stats, TimerId};
use crate::health::HealthState;
use crate::host::{
    BootId, Classes, EndVerdict, Identity, LogIdentity, LogReason, LogUserAgent, LogValue, OrDash,
};
use crate::relay::RelayStats;
use log::Level;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;

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

impl EventLog {
    pub(super) fn new(
        interval: Micros,
        log_dropped: Box<dyn Fn() -> u64>,
        classes: Classes,
    ) -> Self {
        EventLog {
            classes,
            interval,
            log_dropped,
            statistics_timer: None,
            last: None,
            last_relay: None,
            skipped_lines: 0,
            limiter: LineLimiter::default(),
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
        } else {
            self.limiter.on_timer(io, timer);
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
        (end, verdict): (&Ending, Option<EndVerdict>),
        ties: LogTies<'_>,
    ) {
        let level = match end.cause {
            cause if cause == Cause::STALE => Level::Warn,
            cause if cause.is_check() => Level::Debug,
            _ => Level::Info,
        };
        if log::log_enabled!(level) && self.limiter.admit(io, end.cause, Some(end.peer_addr.ip())) {
            self.write_close(level, id, peer, (end, verdict), ties);
        }
    }

    /// Logs a leg of a pair that has ended, or a connection to an upstream that never became one,
    /// at debug: its pair, or its client, has a line of its own.
    pub(super) fn log_leg(
        &self,
        id: ConnId,
        peer: PeerInfo<'_>,
        end: (&Ending, Option<EndVerdict>),
        ties: LogTies<'_>,
    ) {
        if log::log_enabled!(Level::Debug) {
            self.write_close(Level::Debug, id, peer, end, ties);
        }
    }

    /// Logs a pair whose two legs have ended. If its client never became a WebSocket, it was none,
    /// and each leg has its line.
    pub(super) fn log_pair(&mut self, io: &mut Io<'_>, pair: &EndedPair, boot: BootId) {
        if pair.client.end.class.is_none() {
            for leg in [&pair.client, &pair.upstream] {
                let ties = LogTies {
                    target: Some(&leg.target),
                    connection: leg.end.class.is_none().then_some((boot, leg.id)),
                    partner: leg.end.partner.map(|partner| partner.id),
                    session: None,
                };
                self.log_close(
                    io,
                    leg.id,
                    PeerInfo::from(leg),
                    (&leg.end, leg.verdict),
                    ties,
                );
            }
            return;
        }
        let level = match pair.is_stale() {
            true => Level::Warn,
            false => Level::Info,
        };
        let client = Some(pair.client.end.peer_addr.ip());
        if log::log_enabled!(level) && self.limiter.admit(io, pair.first().end.cause, client) {
            log::log!(level, "{}", LogPair(pair, &self.classes, boot));
        }
    }

    fn write_close(
        &self,
        level: Level,
        id: ConnId,
        peer: PeerInfo<'_>,
        (end, verdict): (&Ending, Option<EndVerdict>),
        ties: LogTies<'_>,
    ) {
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
             messages_out={} cause={} code={} by={} clean={} verdict={} reason={}{}",
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
            OrDash(verdict),
            LogReason(&end.reason),
            ties,
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
        let address = io.peer_addr(id).map(|addr| addr.ip());
        if log::log_enabled!(Level::Warn) && self.limiter.admit(io, Cause::STALE, address) {
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
        let address = io.peer_addr(id).map(|addr| addr.ip());
        if log::log_enabled!(Level::Warn) && self.limiter.admit(io, Cause::STALE, address) {
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

/// Logs a late heartbeat.
pub(super) fn log_late(id: ConnId, user: &str, evidence: &SilenceEvidence) {
    let kernel = evidence.kernel;
    log::debug!(
        "late id={id} user={} waited_ms={} acked={} in_flight={} backoff={} proxy={}",
        LogValue(user),
        evidence.waited.as_millis(),
        OrDash(kernel.map(|k| k.heartbeat_acked)),
        OrDash(kernel.map(|k| k.in_flight)),
        OrDash(kernel.map(|k| k.backoff)),
        OrDash(kernel.map(|k| k.proxy)),
    );
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

impl<'a> From<&'a EndedLeg> for PeerInfo<'a> {
    fn from(leg: &'a EndedLeg) -> Self {
        PeerInfo(leg.identity.as_ref(), leg.user_agent.as_deref())
    }
}

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
