//! Explains a connection's state and predicts its next events, as sentences and as times.

use super::common::{ClockReading, PredictedTime};
use super::explain_pair::PairExplanation;
use super::foresight::ForesightBody;
use super::pace_body::PaceBody;
use super::pulse_session_entry::PulseSessionEntry;
use super::silence_evidence::{SilenceEvidenceBody, describe_late};
use crate::base::cause::{Cause, EndCode};
use crate::engine::{CloseStage, ConnView, Outlook, PhaseView};
use crate::gateway::{ConnSnapshot, OTHER_USER_AGENT, USER_AGENTS_MAX};
use crate::health::{AliveBy, HealthState, HeartbeatMode, StaleAction};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a connection is in its state, and what will happen to it. The times apply if nothing more is
/// received from the peer and nothing more is sent to it. Events are never early, and late by some
/// 10 ms. A drain may act earlier than its time here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explanation {
    /// Why the connection is in its state.
    #[schema(
        example = "suspect: nothing received for 21034 ms, 1 ping unanswered (pings are sent every \
                   15000 ms)"
    )]
    why: String,
    /// When the next ping is due. Null if the connection ends before, or while the peer does not
    /// read.
    next_ping: Option<PredictedTime>,
    /// When the connection becomes suspect. Null if it is suspect already, or ends before.
    suspect: Option<PredictedTime>,
    /// The latest time at which a drain, of all or of its class, closes it; this may be before all
    /// other times here. Null if no drain includes it.
    drained: Option<PredictedTime>,
    /// When and for which cause the connection ends, or begins to be closed. For `draining` this is
    /// the latest time. Its pair may end before: see `pair`.
    end: PredictedEnd,
    /// What will become of its pair. Null if it is no leg of a pair.
    pair: Option<PairExplanation>,
    /// Its session, which outlives the client's connection. Null if it has none.
    session: Option<PulseSessionEntry>,
    /// The same facts as sentences for a reader.
    text: Vec<String>,
    /// Whose kernel acknowledges our bytes on the TCP connection: `peer` or `proxy`.
    /// Acknowledgements of a proxy keep a silent peer alive for one timeout at most.
    #[schema(example = "peer")]
    kernel: &'static str,
    /// What was seen of the peer when its latest heartbeat was late, as long as it is silent. Null
    /// if nothing is late.
    silence_evidence: Option<SilenceEvidenceBody>,
    /// Heartbeats that were late since the connection opened.
    late_heartbeats: u32,
    /// The risk that one of its next heartbeats is late, with the reasons. Null if it is not open.
    foresight: Option<ForesightBody>,
    /// The heartbeat policy that applies to the connection.
    policy: AppliedPolicy,
    /// Why its heartbeat interval is what it is. Null if it does not adapt.
    pace: Option<PaceBody>,
}

/// The predicted end of a connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = End)]
struct PredictedEnd {
    #[serde(flatten)]
    when: PredictedTime,
    /// The cause of the connection's end, as in the log.
    #[schema(example = "stale")]
    cause: &'static str,
    /// The close code or status that the peer gets.
    #[schema(example = "3008")]
    code: String,
}

/// The heartbeat policy of a connection.
#[derive(Debug, Serialize, ToSchema)]
struct AppliedPolicy {
    heartbeat_interval_ms: u64,
    connection_timeout_ms: u64,
    /// `always` or `idle`.
    heartbeat_mode: &'static str,
    /// `ping`: WebSocket pings. `text`: messages that only the program at the other end answers.
    heartbeat_form: &'static str,
    /// What counts as received: `any`, `data` or `pong`.
    alive_by: &'static str,
    /// Whether late heartbeats are found.
    late: bool,
    /// Whether the policy is the connection's own and not that of its class.
    own: bool,
}

pub(super) fn explain(
    portrait: &ConnSnapshot,
    foresight: Option<ForesightBody>,
    now: &ClockReading,
) -> Explanation {
    let (view, outlook) = (&portrait.row.view, &portrait.outlook);
    let why = state_reason(view, outlook, now);
    let next_ping = outlook.next_ping.map(|at| now.future(at));
    let suspect = outlook.suspect_at.map(|at| now.future(at));
    let end = PredictedEnd {
        when: now.future(outlook.ends_at),
        cause: outlook.ends_for.name(),
        code: match view.phase {
            PhaseView::Opening { .. } if outlook.ends_for == Cause::DRAINING => {
                "http_503".to_owned()
            }
            PhaseView::Opening { .. } if outlook.ends_for == Cause::PROBE => {
                EndCode::None.to_string()
            }
            PhaseView::Opening { .. } => "http_408".to_owned(),
            PhaseView::Dialing { .. } => EndCode::None.to_string(),
            PhaseView::Open => EndCode::Close(outlook.ends_for.close_code()).to_string(),
            PhaseView::Closing { code, .. } => code.to_string(),
        },
    };
    let policy = &outlook.policy;
    let mut text = vec![why.clone()];
    describe_late(view, &mut text);
    if let Some(foresight) = &foresight {
        foresight.describe(&mut text);
    }
    let evidence = view.silence_evidence.as_ref();
    match portrait.row.user_agent.as_deref() {
        None => {}
        Some(OTHER_USER_AGENT) => text.push(format!(
            "its user agent is shown as other: {USER_AGENTS_MAX} different user agents are \
             connected already"
        )),
        Some(name) => text.push(format!("its user agent is {name:?}")),
    }
    if let Some(ping) = &next_ping {
        text.push(format!("the next ping is sent in {} ms", ping.in_ms));
    }
    if let Some(suspect) = &suspect {
        let in_ms = suspect.in_ms;
        text.push(format!(
            "if {} until then, it becomes suspect in {in_ms} ms",
            nothing_is_received(policy.alive_by)
        ));
    }
    text.push(describe_end(view, outlook, &end));
    if view.proxied && view.phase == PhaseView::Open {
        text.push(format!(
            "kernel: proxy: a proxy acknowledges our bytes, not the peer; while a ping waits \
             behind other bytes, this keeps the connection alive for one timeout at most ({} ms)",
            policy.connection_timeout.as_millis()
        ));
    }
    let drained = outlook.drained_by.map(|at| now.future(at));
    if let Some(drained) = drained
        .as_ref()
        .filter(|_| outlook.ends_for != Cause::DRAINING)
    {
        let (in_ms, code) = (drained.in_ms, Cause::DRAINING.close_code());
        text.push(format!(
            "a drain is in progress: it is closed in {in_ms} ms at the latest, cause draining, \
             code {code}"
        ));
    }
    let pace = outlook.pace.as_ref();
    let pace = pace.map(|view| PaceBody::of(view, &mut text));
    let pair = portrait.pair.as_ref();
    let pair = pair.map(|pair| PairExplanation::of(pair, now, &mut text));
    let session = portrait.session.clone();
    let session = session.map(|row| PulseSessionEntry::explained(row, now.engine, &mut text));
    Explanation {
        why,
        next_ping,
        suspect,
        drained,
        end,
        pair,
        session,
        text,
        kernel: if view.proxied { "proxy" } else { "peer" },
        silence_evidence: evidence.map(|evidence| SilenceEvidenceBody::of(evidence, now)),
        late_heartbeats: view.late_heartbeats,
        foresight,
        policy: AppliedPolicy {
            heartbeat_interval_ms: policy.heartbeat_interval.as_millis(),
            connection_timeout_ms: policy.connection_timeout.as_millis(),
            heartbeat_mode: mode_name(policy.mode),
            heartbeat_form: policy.heartbeat_form.name(),
            alive_by: policy.alive_by.name(),
            late: policy.late,
            own: outlook.own_policy,
        },
        pace,
    }
}

pub(super) fn mode_name(mode: HeartbeatMode) -> &'static str {
    match mode {
        HeartbeatMode::Always => "always",
        HeartbeatMode::Idle => "idle",
    }
}

fn state_reason(view: &ConnView, outlook: &Outlook, now: &ClockReading) -> String {
    let health = &view.health;
    let silence = health.silence.as_millis();
    let unanswered = match health.unanswered {
        0 => "no ping unanswered".to_owned(),
        1 => "1 ping unanswered".to_owned(),
        n => format!("{n} pings unanswered"),
    };
    let unanswered = if health.ping_waits {
        format!("{unanswered}, and one is not sent yet")
    } else {
        unanswered
    };
    let interval = outlook.policy.heartbeat_interval.as_millis();
    let (something, nothing) = match outlook.policy.alive_by {
        AliveBy::Any => ("data received", "nothing received"),
        AliveBy::Data => ("a message received", "no message received"),
        AliveBy::Pong => ("a heartbeat answered", "no heartbeat answered"),
    };
    match view.phase {
        PhaseView::Opening { silent: true, .. } => "opening: no byte was received yet".to_owned(),
        PhaseView::Opening { deferred: true, .. } => {
            "opening: its request waits for a decision".to_owned()
        }
        PhaseView::Opening { .. } => "opening: its request is not complete".to_owned(),
        PhaseView::Dialing { connected: false } => {
            "opening: the server has not accepted the connection yet".to_owned()
        }
        PhaseView::Dialing { .. } => {
            "opening: the server has not answered the request yet".to_owned()
        }
        PhaseView::Closing { cause, code, stage } => {
            let stage = match stage {
                CloseStage::PeerClose => "waiting for the peer's close frame",
                CloseStage::Flush => "waiting until our last bytes are sent",
                CloseStage::PeerFin | CloseStage::PeerEof => {
                    "waiting for the peer to close the TCP connection"
                }
                CloseStage::Partner => "waiting for its partner to answer the close",
            };
            format!("closing: cause {cause}, code {code}, {stage}")
        }
        PhaseView::Open if outlook.deferred => format!(
            "{}: stale, {nothing} for {silence} ms; its close is delayed by \
             STALE_CLOSES_PER_SECOND",
            state_name(health.state)
        ),
        PhaseView::Open => {
            let state = match health.state {
                HealthState::Healthy => {
                    format!("healthy: {something} {silence} ms ago, {unanswered}")
                }
                HealthState::Suspect if health.ping_waits => {
                    format!("suspect: {nothing} for {silence} ms, {unanswered}")
                }
                HealthState::Suspect => format!(
                    "suspect: {nothing} for {silence} ms, {unanswered} (pings are sent \
                     every {interval} ms)"
                ),
            };
            let state = match view.throttled_since {
                None => state,
                Some(since) => format!(
                    "{state}; it is throttled, because it sends too much: its input has waited for \
                     {} ms, and no ping is sent meanwhile",
                    (now.engine - since).as_millis()
                ),
            };
            let state = if view.paused {
                format!(
                    "{state}; reading from it is paused, because the receiver of its data has no \
                     room"
                )
            } else {
                state
            };
            match view.blocked_since {
                None => state,
                Some(since) => format!(
                    "{state}; it does not read: {} bytes have waited to be sent for {} ms",
                    view.pending,
                    (now.engine - since).as_millis()
                ),
            }
        }
    }
}

fn describe_end(view: &ConnView, outlook: &Outlook, end: &PredictedEnd) -> String {
    let (in_ms, policy) = (end.when.in_ms, &outlook.policy);
    match view.phase {
        PhaseView::Closing { .. } => format!("it is dropped in {in_ms} ms at the latest"),
        PhaseView::Opening { .. } if outlook.ends_for == Cause::DRAINING => {
            format!(
                "a drain is in progress: it is answered 503 in {in_ms} ms at the latest, cause \
                 draining"
            )
        }
        PhaseView::Opening { .. } if outlook.ends_for == Cause::PROBE => {
            format!("if it sends nothing until then, it is closed in {in_ms} ms, cause probe")
        }
        PhaseView::Opening { deferred: true, .. } => format!(
            "if there is no decision until then, it is answered 408 in {in_ms} ms, cause \
             handshake_timeout"
        ),
        PhaseView::Opening { .. } => {
            format!("it is answered 408 in {in_ms} ms, cause handshake_timeout")
        }
        PhaseView::Dialing { .. } => {
            format!(
                "if the server does not answer until then, it ends in {in_ms} ms, cause {}",
                outlook.ends_for
            )
        }
        PhaseView::Open if outlook.deferred => {
            "it is closed as stale as soon as STALE_CLOSES_PER_SECOND allows".to_owned()
        }
        PhaseView::Open if outlook.ends_for == Cause::DRAINING => format!(
            "a drain is in progress: it is closed in {in_ms} ms at the latest, cause draining, \
             code {}",
            end.code
        ),
        PhaseView::Open => {
            let what = match outlook.ends_for {
                cause if cause == Cause::INIT_TIMEOUT => "if no message is received until then",
                cause if cause == Cause::FRAME_TIMEOUT => "if its frame is not complete until then",
                cause if cause == Cause::SLOW_CONSUMER => "if it reads no bytes until then",
                _ => &format!("if {} until then", nothing_is_received(policy.alive_by)),
            };
            if outlook.ends_for == Cause::STALE && policy.when_stale == StaleAction::Report {
                return format!(
                    "{what}, it is logged in {in_ms} ms that it would be closed as stale, unless \
                     that was logged already; it stays open, because judge is report for its class"
                );
            }
            let timeout = if outlook.ends_for == Cause::STALE {
                let timeout = policy.connection_timeout.as_millis();
                format!(" (connection timeout {timeout} ms)")
            } else {
                String::new()
            };
            let (cause, code) = (end.cause, &end.code);
            format!("{what}, it is closed in {in_ms} ms, cause {cause}, code {code}{timeout}")
        }
    }
}

/// Returns what a connection becomes suspect and stale by.
fn nothing_is_received(alive_by: AliveBy) -> &'static str {
    match alive_by {
        AliveBy::Any => "nothing is received",
        AliveBy::Data => "no message is received (alive_by is data)",
        AliveBy::Pong => "no heartbeat is answered (alive_by is pong)",
    }
}

fn state_name(state: HealthState) -> &'static str {
    match state {
        HealthState::Healthy => "healthy",
        HealthState::Suspect => "suspect",
    }
}
