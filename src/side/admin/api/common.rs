//! Types and formats that several answers share.

use crate::base::cause::{Cause, EndCode};
use crate::base::time::{Micros, UnixMillis};
use crate::engine::{Class, Traffic};
use crate::gateway::{Classes, ConnState, Snapshot};
use crate::health::{HealthState, Risk, Rtt};
use crate::side::admin::problem::Problem;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use utoipa::ToSchema;

/// The name of a class of peers, as a product has registered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub(super) struct ClassName(String);

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StateName {
    /// The connection is accepted; its request, or the answer to it, is not complete.
    Opening,
    /// The connection is open, and the peer answers pings.
    Healthy,
    /// The connection is open, but a ping was not answered within an interval, and nothing was
    /// received since it was sent.
    Suspect,
    /// A close frame, or the refusal of its request, is being sent.
    Closing,
}

/// The risk that one of the next heartbeats of an open connection is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RiskName {
    /// None of the latest four heartbeats was late.
    Low,
    /// One of the latest four heartbeats was late, but none of the latest two.
    Raised,
    /// One of the latest two heartbeats was late, or the cohort has an alarm.
    High,
}

/// The traffic of a connection: bytes on the wire, and data messages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TrafficBody {
    bytes_in: u64,
    bytes_out: u64,
    messages_in: u32,
    messages_out: u32,
}

/// Smoothed round-trip time and its variation (RFC 6298), in µs; null before the first measurement.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RttBody {
    rtt_us: Option<u32>,
    rttvar_us: Option<u32>,
}

/// A future time, or one that is overdue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Moment)]
pub(super) struct PredictedTime {
    /// The time, by the wall clock.
    #[schema(example = "2026-01-31T12:00:00.000Z")]
    at: String,
    /// The time from now, in ms.
    pub(super) in_ms: u64,
}

/// Counts by cause; causes with a count of 0 are left out.
pub(super) type ByCause = BTreeMap<&'static str, u64>;

/// Both clocks at one moment, to convert engine time to wall-clock time.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClockReading {
    pub(super) wall: UnixMillis,
    pub(super) engine: Micros,
}

impl ClockReading {
    /// Converts an engine time in the future to wall-clock time, and to ms from now.
    pub(super) fn future(&self, at: Micros) -> PredictedTime {
        // Rounded down, as both clocks are: the event does not happen earlier.
        let in_ms = (at - self.engine).as_millis();
        PredictedTime {
            at: rfc3339(UnixMillis(self.wall.0 + in_ms)),
            in_ms,
        }
    }

    /// Converts an engine time in the past to wall-clock time.
    pub(super) fn past(&self, at: Micros) -> String {
        let ago = (self.engine - at).as_millis();
        rfc3339(UnixMillis(self.wall.0.saturating_sub(ago)))
    }
}

impl ClassName {
    /// Returns the class with this name.
    ///
    /// # Errors
    /// 400 if no product has registered it.
    pub(super) fn resolve(&self, classes: &Classes) -> Result<Class, Problem> {
        self.resolve_or(classes, &[])
    }

    /// Returns whether the name equals `word`.
    pub(super) fn is(&self, word: &str) -> bool {
        self.0 == word
    }

    /// Like [`resolve`](Self::resolve), but other words are allowed, too.
    pub(super) fn resolve_or(
        &self,
        classes: &Classes,
        others: &[&'static str],
    ) -> Result<Class, Problem> {
        classes.by_name(&self.0).ok_or_else(|| {
            let names: Vec<_> = others.iter().copied().chain(classes.names()).collect();
            let error = format!("class {:?}: one of {}", self.0, names.join(", "));
            Problem::bad_request(error)
        })
    }
}

impl From<StateName> for ConnState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Opening => ConnState::Opening,
            StateName::Healthy => ConnState::Healthy,
            StateName::Suspect => ConnState::Suspect,
            StateName::Closing => ConnState::Closing,
        }
    }
}

impl From<ConnState> for StateName {
    fn from(state: ConnState) -> Self {
        match state {
            ConnState::Opening => StateName::Opening,
            ConnState::Healthy => StateName::Healthy,
            ConnState::Suspect => StateName::Suspect,
            ConnState::Closing => StateName::Closing,
        }
    }
}

impl From<HealthState> for StateName {
    fn from(state: HealthState) -> Self {
        match state {
            HealthState::Healthy => StateName::Healthy,
            HealthState::Suspect => StateName::Suspect,
        }
    }
}

impl RiskName {
    /// Returns the word for it.
    pub(super) fn word(self) -> &'static str {
        Risk::from(self).name()
    }
}

impl From<Risk> for RiskName {
    fn from(risk: Risk) -> Self {
        match risk {
            Risk::Low => RiskName::Low,
            Risk::Raised => RiskName::Raised,
            Risk::High => RiskName::High,
        }
    }
}

impl From<RiskName> for Risk {
    fn from(name: RiskName) -> Self {
        match name {
            RiskName::Low => Risk::Low,
            RiskName::Raised => Risk::Raised,
            RiskName::High => Risk::High,
        }
    }
}

impl From<Traffic> for TrafficBody {
    fn from(traffic: Traffic) -> Self {
        TrafficBody {
            bytes_in: traffic.bytes_in,
            bytes_out: traffic.bytes_out,
            messages_in: traffic.messages_in,
            messages_out: traffic.messages_out,
        }
    }
}

impl From<Rtt> for RttBody {
    fn from(rtt: Rtt) -> Self {
        RttBody {
            rtt_us: rtt.srtt_us(),
            rttvar_us: rtt.rttvar_us(),
        }
    }
}

/// Returns a time as RFC 3339 with milliseconds, in UTC.
pub(super) fn rfc3339(at: UnixMillis) -> String {
    humantime::format_rfc3339_millis(at.into()).to_string()
}

/// Returns a close code as the log writes it.
pub(super) fn code(code: EndCode) -> String {
    code.to_string()
}

/// Replaces the index of each class by its name.
pub(super) fn by_class<T>(
    classes: &Classes,
    numbers: impl IntoIterator<Item = T>,
) -> BTreeMap<&'static str, T> {
    classes.names().zip(numbers).collect()
}

/// Returns counts by the name of their cause.
pub(super) fn by_cause(counts: impl IntoIterator<Item = (Cause, u64)>) -> ByCause {
    let counted = counts.into_iter().filter(|(_, n)| *n > 0);
    counted.map(|(cause, n)| (cause.name(), n)).collect()
}

/// Returns an address as the log writes it.
pub(super) fn address(addr: SocketAddr) -> String {
    addr.to_string()
}

/// Returns the classes that are being drained, or that refuse new connections.
pub(super) fn drained_classes(snapshot: &Snapshot) -> Vec<&'static str> {
    let names = snapshot.classes.names().zip(&snapshot.drained);
    names
        .filter_map(|(name, is_drained)| is_drained.then_some(name))
        .collect()
}

/// The longest time that a request may ask for: a day, as in the settings.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Parses a time of a request, in ms.
pub(super) fn parse_span(name: &str, ms: u64) -> Result<Micros, Problem> {
    if ms > DAY_MS {
        return Err(Problem::bad_request(format!(
            "{name} is {ms}; it must be 0 to {DAY_MS} ms"
        )));
    }
    Ok(Micros::from_millis(ms))
}
