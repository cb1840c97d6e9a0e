//! Identities that are shut out.

use crate::control::problem::{Params, Problem};
use crate::control::{Control, ask};
use crate::gateway::{Identity, Role, Value};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Everybody who is refused; 1 000 at most.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BlockList {
    blocks: Vec<Block>,
}

/// Who is refused with 403, and for how long still.
#[derive(Debug, Serialize, ToSchema)]
struct Block {
    user: String,
    /// Null: the user's glasses.
    package: Option<String>,
    left_ms: u64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BlockParams {
    /// The user.
    user: String,
    /// The package; without it the user's glasses.
    package: Option<String>,
}

/// Everybody who is refused, who is let in again soonest first.
#[utoipa::path(
    get, path = "/api/v1/blocks", tag = "act",
    responses((status = 200, body = BlockList), (status = 503, body = Problem))
)]
pub(super) async fn list(State(control): State<Arc<Control>>) -> Result<Json<BlockList>, Problem> {
    let blocked = ask::ask(&control.desk, |gateway, io| gateway.blocked(io)).await?;
    let block = |(identity, left): (Identity, crate::time::Micros)| Block {
        user: identity.user.into(),
        package: match identity.role {
            Role::Glasses => None,
            Role::Tpa(package) => Some(package.into()),
        },
        left_ms: left.as_millis(),
    };
    Ok(Json(BlockList {
        blocks: blocked.into_iter().map(block).collect(),
    }))
}

/// Lets an identity in again.
#[utoipa::path(
    delete, path = "/api/v1/blocks", tag = "act", params(BlockParams),
    responses((status = 204), (status = 400, body = Problem), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn lift(
    State(control): State<Arc<Control>>,
    Params(params): Params<BlockParams>,
) -> Result<StatusCode, Problem> {
    let identity = Identity {
        user: params.user.into(),
        role: params
            .package
            .map_or(Role::Glasses, |package| Role::Tpa(package.into())),
    };
    let lift = ask::ask(&control.desk, move |gateway, _| {
        let lifted = gateway.unblock(&identity);
        if lifted {
            let package = match &identity.role {
                Role::Glasses => "-",
                Role::Tpa(package) => package,
            };
            log::warn!(
                "operator action=unblock user={} package={}",
                Value(&identity.user),
                Value(package)
            );
        }
        lifted
    });
    if lift.await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("this identity is not blocked"))
    }
}
