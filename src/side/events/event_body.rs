//! Events as they are written: one JSON object each.

use super::event_ring::EventRange;
use crate::base::id::ConnId;
use crate::gateway::{BootId, Classes, ClosedEvent, Event, EventKind};
use crate::host::format_rfc3339;
use serde::Serialize;
use std::net::SocketAddr;

/// The types of events, by [`type_index`].
pub(in crate::side) const EVENT_TYPES: [&str; 7] = [
    "opened",
    "identified",
    "state",
    "closed",
    "session_held",
    "session_resumed",
    "session_ended",
];

/// Returns the index of an event's type in [`EVENT_TYPES`].
pub(super) const fn type_index(kind: &EventKind) -> usize {
    match kind {
        EventKind::Opened { .. } => 0,
        EventKind::Identified => 1,
        EventKind::State { .. } => 2,
        EventKind::Closed(_) => 3,
        EventKind::SessionHeld { .. } => 4,
        EventKind::SessionResumed { .. } => 5,
        EventKind::SessionEnded { .. } => 6,
    }
}

/// An event as it is written. Fields without a value are left out.
#[derive(Serialize)]
struct EventBody<'a> {
    id: String,
    r#type: &'static str,
    at: String,
    connection: String,
    class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partner: Option<String>,
    #[serde(flatten)]
    details: Details<'a>,
}

/// The fields that only some types have.
#[derive(Serialize)]
#[serde(untagged)]
enum Details<'a> {
    Opened {
        peer: SocketAddr,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_agent: Option<&'a str>,
    },
    Identified {},
    State {
        state: &'static str,
        silence_ms: u64,
        unanswered: u16,
    },
    Closed(ClosedDetails<'a>),
    SessionHeld {
        session: u64,
    },
    SessionResumed {
        session: u64,
        held_ms: u64,
        sent_again: u64,
    },
    SessionEnded {
        session: u64,
        why: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        held_ms: Option<u64>,
        resumes: u32,
    },
}

#[derive(Serialize)]
struct ClosedDetails<'a> {
    peer: SocketAddr,
    cause: &'static str,
    by: &'static str,
    code: String,
    reason: &'a str,
    clean: bool,
    lost: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    age_ms: u64,
    silence_ms: u64,
    unanswered: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_us: Option<u32>,
    messages_in: u32,
    messages_out: u32,
    bytes_in: u64,
    bytes_out: u64,
}

impl<'a> ClosedDetails<'a> {
    fn of(closed: &'a ClosedEvent, classes: &Classes) -> Self {
        let end = &closed.end;
        ClosedDetails {
            peer: end.peer_addr,
            cause: end.cause.name(),
            by: classes.ended_by(end),
            code: end.code.to_string(),
            reason: &end.reason,
            clean: end.clean,
            lost: end.lost,
            verdict: closed.verdict,
            age_ms: end.age.as_millis(),
            silence_ms: end.silence.as_millis(),
            unanswered: end.unanswered,
            rtt_us: end.rtt.srtt_us(),
            messages_in: end.traffic.messages_in,
            messages_out: end.traffic.messages_out,
            bytes_in: end.traffic.bytes_in,
            bytes_out: end.traffic.bytes_out,
        }
    }
}

impl<'a> Details<'a> {
    fn of(kind: &'a EventKind, classes: &Classes) -> Self {
        match *kind {
            EventKind::Opened {
                peer_addr,
                ref user_agent,
            } => Details::Opened {
                peer: peer_addr,
                user_agent: user_agent.as_deref(),
            },
            EventKind::Identified => Details::Identified {},
            EventKind::State {
                state,
                silence,
                unanswered,
            } => Details::State {
                state,
                silence_ms: silence.as_millis(),
                unanswered,
            },
            EventKind::Closed(ref closed) => Details::Closed(ClosedDetails::of(closed, classes)),
            EventKind::SessionHeld { session } => Details::SessionHeld { session },
            EventKind::SessionResumed {
                session,
                held,
                sent_again,
            } => Details::SessionResumed {
                session,
                held_ms: held.as_millis(),
                sent_again,
            },
            EventKind::SessionEnded {
                session,
                why,
                held,
                resumes,
            } => Details::SessionEnded {
                session,
                why,
                held_ms: held.map(|held| held.as_millis()),
                resumes,
            },
        }
    }
}

/// Returns an event as JSON, on one line.
pub(super) fn to_json(event: &Event, boot: BootId, classes: &Classes) -> Box<str> {
    let subject = &event.subject;
    let target = subject.target.as_ref();
    let upstream = target.map(|target| &*target.upstream);
    let connection = |id: ConnId| format!("{boot}.{id}");
    let body = EventBody {
        id: event_id(boot, event.number),
        r#type: EVENT_TYPES[type_index(&event.kind)],
        at: format_rfc3339(event.at.wall),
        connection: connection(subject.id),
        class: classes.name(subject.class),
        user: subject.user.as_deref(),
        package: subject.package.as_deref(),
        route: target.map(|target| &*target.route),
        upstream: upstream.filter(|upstream| !upstream.is_empty()),
        partner: subject.partner.map(connection),
        details: Details::of(&event.kind, classes),
    };
    // Texts, numbers and truth values under names: this cannot fail.
    serde_json::to_string(&body).unwrap_or_default().into()
}

/// Returns the id of the event with this number.
pub(in crate::side) fn event_id(boot: BootId, number: u64) -> String {
    format!("{boot}-{number}")
}

/// Returns which events a reader missed, as JSON, on one line.
pub(in crate::side) fn missed_json(boot: BootId, missed: &EventRange) -> String {
    let (first, last) = (*missed.start(), *missed.end());
    format!(
        "{{\"count\":{},\"first\":\"{}\",\"last\":\"{}\"}}",
        last + 1 - first,
        event_id(boot, first),
        event_id(boot, last)
    )
}

/// Parses the id of an event: the run of the gateway, and the number.
pub(in crate::side) fn parse_event_id(id: &str) -> Option<(BootId, u64)> {
    let (boot, number) = id.split_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number = number.parse().ok().filter(|_| is_number)?;
    Some((BootId::parse(boot.as_bytes())?, number))
}
