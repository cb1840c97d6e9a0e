//! `/api/v1`: what operators can read and do, as JSON. The OpenAPI document is generated from this
//! code.

mod actions;
mod alerts;
mod at_risk;
mod blocks;
mod causes;
mod client_side;
mod closed_connections;
mod cohort_entry;
mod cohorts;
mod common;
mod connections;
mod ended_groups;
mod ended_summary;
mod events;
mod explain;
mod explain_pair;
mod foresight;
mod http_requests;
mod incidents;
mod live_document;
mod overview;
mod pace_body;
mod page_entries;
mod policies;
mod pulse_session_entry;
mod pulse_sessions;
mod recent_losses;
mod reload;
mod routes;
mod sessions;
mod silence_evidence;
mod troubled;
mod upstreams;
mod verdicts;
mod webhooks;

pub(super) use self::live_document::LiveBuilder;
pub(super) use self::routes::router;
