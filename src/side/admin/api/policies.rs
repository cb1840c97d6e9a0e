//! The heartbeat policies of the classes: read and changed live.

use super::common::ClassName;
use super::explain::mode_name;
use crate::base::time::Micros;
use crate::engine::{Class, SetPolicyError};
use crate::health::{HeartbeatMode, Policy};
use crate::side::admin::admin_state::{AdminState, PolicyRefused};
use crate::side::admin::problem::{JsonBody, PathParam, Problem};
use crate::side::loop_query;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// The heartbeat policy of a class.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyBody {
    heartbeat_interval_ms: u64,
    connection_timeout_ms: u64,
    /// Pings that must each go unanswered for an interval before a peer is suspect.
    suspect_after: u16,
    close_timeout_ms: u64,
    /// `always` or `idle`.
    heartbeat_mode: &'static str,
}

/// The fields to change; absent fields stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyChange {
    /// The time from one ping to the next, in ms: 10 to 86 400 000.
    #[schema(minimum = 10, maximum = 86_400_000)]
    heartbeat_interval_ms: Option<u64>,
    /// The silence after which a connection is stale, in ms: more than the interval, at most
    /// 86 400 000.
    #[schema(minimum = 10, maximum = 86_400_000)]
    connection_timeout_ms: Option<u64>,
    /// How many pings must each be unanswered for an interval before a peer is suspect; at least 1.
    #[schema(minimum = 1)]
    suspect_after: Option<u16>,
    /// How long a peer may take to answer our close frame, in ms: 10 to 86 400 000.
    #[schema(minimum = 10, maximum = 86_400_000)]
    close_timeout_ms: Option<u64>,
    /// `always` or `idle`.
    heartbeat_mode: Option<ModeName>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ModeName {
    Always,
    Idle,
}

/// The policies of all classes.
#[utoipa::path(
    get, path = "/api/v1/policies", tag = "act",
    responses((status = 200, body = BTreeMap<String, PolicyBody>), (status = 503, body = Problem))
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
) -> Result<Json<BTreeMap<&'static str, PolicyBody>>, Problem> {
    let policies = loop_query::query(&admin.queries, |gateway, io| {
        let names = gateway.classes().names().zip(0..=u8::MAX);
        names
            .map(|(name, nth)| (name, io.policy(Class(nth)).copied()))
            .collect::<Vec<_>>()
    });
    let policies = policies.await?.into_iter();
    let known = policies.filter_map(|(name, policy)| Some((name, PolicyBody::from(&policy?))));
    Ok(Json(known.collect()))
}

/// Changes a class's policy until the next reload or restart, within the bounds of the settings.
/// All its connections change over within a few turns. Each is pinged within one new interval. None
/// becomes stale earlier than under the old policy or one new timeout after the change, whichever
/// is first.
#[utoipa::path(
    patch, path = "/api/v1/policies/{class}", tag = "act", request_body = PolicyChange,
    params(("class" = ClassName, Path)),
    responses(
        (status = 200, body = PolicyBody),
        (status = 400, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn change(
    State(admin): State<Arc<AdminState>>,
    PathParam(class): PathParam<ClassName>,
    JsonBody(change): JsonBody<PolicyChange>,
) -> Result<Json<PolicyBody>, Problem> {
    let class = class.resolve(&admin.classes)?;
    let name = admin.classes.name(class);
    let check = admin.check_policy;
    let changed = loop_query::query(&admin.queries, move |_, io| {
        let current = io.policy(class).copied();
        let wanted = change.applied_to(current.ok_or(PolicyChangeError::NoSuchClass)?);
        check(&wanted)?;
        io.set_policy(class, wanted)?;
        log::warn!(
            "operator action=policy class={} heartbeat_interval_ms={} connection_timeout_ms={} \
             suspect_after={} close_timeout_ms={} \
             heartbeat_mode={}",
            name,
            wanted.heartbeat_interval.as_millis(),
            wanted.connection_timeout.as_millis(),
            wanted.suspect_after,
            wanted.close_timeout.as_millis(),
            mode_name(wanted.mode)
        );
        let (timeout, interval) = (wanted.connection_timeout, wanted.heartbeat_interval);
        let safe = Micros(Policy::SAFE_INTERVALS * interval.0);
        if timeout < safe {
            log::warn!(
                "connection_timeout_ms of class {} is {}, less than twice heartbeat_interval_ms, \
                 which is {}: one lost ping would close a live peer; set it to at least {}",
                name,
                timeout.as_millis(),
                interval.as_millis(),
                safe.as_millis()
            );
        }
        Ok::<_, PolicyChangeError>(wanted)
    });
    let policy = changed
        .await?
        .map_err(|e| Problem::bad_request(e.to_string()))?;
    Ok(Json(PolicyBody::from(&policy)))
}

/// Why a policy was not changed; the operator may try another one.
#[derive(Debug, thiserror::Error)]
enum PolicyChangeError {
    #[error("no such class")]
    NoSuchClass,
    #[error(transparent)]
    Settings(#[from] PolicyRefused),
    #[error(transparent)]
    Engine(#[from] SetPolicyError),
}

impl PolicyChange {
    fn applied_to(&self, policy: Policy) -> Policy {
        let ms = |given: Option<u64>, old: Micros| given.map_or(old, Micros::from_millis);
        Policy {
            heartbeat_interval: ms(self.heartbeat_interval_ms, policy.heartbeat_interval),
            connection_timeout: ms(self.connection_timeout_ms, policy.connection_timeout),
            suspect_after: self.suspect_after.unwrap_or(policy.suspect_after),
            first_message_timeout: policy.first_message_timeout,
            first_message_bytes: policy.first_message_bytes,
            close_timeout: ms(self.close_timeout_ms, policy.close_timeout),
            when_stale: policy.when_stale,
            heartbeat_form: policy.heartbeat_form,
            alive_by: policy.alive_by,
            late: policy.late,
            mode: match self.heartbeat_mode {
                None => policy.mode,
                Some(ModeName::Always) => HeartbeatMode::Always,
                Some(ModeName::Idle) => HeartbeatMode::Idle,
            },
        }
    }
}

impl From<&Policy> for PolicyBody {
    fn from(policy: &Policy) -> Self {
        PolicyBody {
            heartbeat_interval_ms: policy.heartbeat_interval.as_millis(),
            connection_timeout_ms: policy.connection_timeout.as_millis(),
            suspect_after: policy.suspect_after,
            close_timeout_ms: policy.close_timeout.as_millis(),
            heartbeat_mode: mode_name(policy.mode),
        }
    }
}
