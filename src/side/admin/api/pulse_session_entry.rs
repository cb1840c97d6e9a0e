//! A session that outlives its connections, as the API tells it.

use crate::base::time::Micros;
use crate::gateway::PulseSessionRow;
use serde::Serialize;
use utoipa::ToSchema;

/// A session that outlives its connections.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PulseSession)]
pub(super) struct PulseSessionEntry {
    /// The number of the session, by which it is ended.
    session: u64,
    /// `attached` to a connection of its client, or `held` for it.
    #[schema(example = "held")]
    state: &'static str,
    route: String,
    /// The address of the upstream. Null if the upstream has closed, and its last messages are kept
    /// for the client.
    #[schema(example = "10.0.0.1:3000")]
    upstream: Option<String>,
    /// The client's name, if the route names its clients.
    user: Option<String>,
    /// The id of the client's connection. Null while the session is held.
    #[schema(example = "3.8")]
    client_id: Option<String>,
    /// The id of the connection to the upstream.
    #[schema(example = "4.8")]
    upstream_id: Option<String>,
    /// How long ago it began.
    age_ms: u64,
    /// How long it has waited for its client. Null while it is attached.
    held_ms: Option<u64>,
    /// How long it will still wait. Null while it is attached.
    left_ms: Option<u64>,
    /// How many times it was resumed.
    resumes: u32,
    /// Messages of the upstream that the client has not acknowledged.
    kept_messages: usize,
    /// The bytes of those messages.
    kept_bytes: usize,
    /// Whether the upstream is not read, because there is no room for what it sends. After 15 s
    /// without its client the session ends.
    upstream_paused: bool,
}

impl PulseSessionEntry {
    /// Returns the session of a connection. Adds the same facts to `text` as sentences.
    pub(super) fn explained(row: PulseSessionRow, now: Micros, text: &mut Vec<String>) -> Self {
        let entry = Self::of(row, now);
        let (number, resumes) = (entry.session, entry.resumes);
        text.push(match (&entry.client_id, entry.left_ms) {
            (Some(client), _) => format!(
                "it belongs to session {number}, whose client is connection {client}: if that is \
                 lost, the connection to the service waits for the client (resumed {resumes} times)"
            ),
            (None, Some(left)) => format!(
                "it waits for the client of session {number}, and keeps {} messages for it: if the \
                 client does not come back, the session ends in {left} ms, and the service gets \
                 1001",
                entry.kept_messages
            ),
            (None, None) => format!("it belongs to session {number}"),
        });
        entry
    }

    pub(super) fn of(row: PulseSessionRow, now: Micros) -> Self {
        let upstream = row.upstream.map(|_| row.target.upstream.to_string());
        PulseSessionEntry {
            session: row.number,
            state: match row.held {
                Some(_) => "held",
                None => "attached",
            },
            route: row.target.route.to_string(),
            upstream,
            user: row.identity.map(|identity| identity.user.into()),
            client_id: row.client.map(|id| id.to_string()),
            upstream_id: row.upstream.map(|id| id.to_string()),
            age_ms: (now - row.since).as_millis(),
            held_ms: row.held.map(|(since, _)| (now - since).as_millis()),
            left_ms: row.held.map(|(_, until)| (until - now).as_millis()),
            resumes: row.resumes,
            kept_messages: row.kept_messages,
            kept_bytes: row.kept_bytes,
            upstream_paused: row.is_upstream_paused,
        }
    }
}
