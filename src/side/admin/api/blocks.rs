//! Blocked identities.

use super::connections::page_size;
use super::page_entries::PageEntries;
use crate::base::time::Micros;
use crate::gateway::{BlockPlace, BlockPosition, Identity, PAGE_MAX};
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{Problem, QueryParams};
use crate::side::loop_query;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BlocksParams {
    /// The size of a page, 1 to 1000; default: all, which are 1000 at most. A page ends earlier
    /// when it reaches 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The value of `next` in the previous page.
    after: Option<String>,
}

/// Blocked identities, a page at a time; 1 000 at most.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BlockList {
    blocks: Vec<Block>,
    /// The start of the next page: pass it as `after`. Null on the last page.
    next: Option<String>,
}

/// An identity that is refused with 403, and for how long.
#[derive(Debug, Serialize, ToSchema)]
struct Block {
    user: String,
    /// Null for an identity without a package.
    package: Option<String>,
    /// The client's address, if nothing proves its name: the block concerns this address alone.
    /// Null for a proved identity.
    #[schema(example = "192.0.2.7")]
    address: Option<String>,
    left_ms: u64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BlockParams {
    /// The user.
    user: String,
    /// The package, if the identity has one.
    package: Option<String>,
    /// Where to unblock it: an IP address, as in the list of blocks; or `none`: the proved name,
    /// whose `address` in the list is null. Without it: everywhere.
    #[param(example = "192.0.2.7")]
    address: Option<String>,
}

/// Blocked identities, one page at a time, ordered by the end of the block. A page has at most
/// `limit` entries and at most 1 MiB.
#[utoipa::path(
    get, path = "/api/v1/blocks", tag = "act", params(BlocksParams),
    responses(
        (status = 200, body = BlockList), (status = 400, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<BlocksParams>,
) -> Result<Json<BlockList>, Problem> {
    let mut blocks = PageEntries::new(page_size(params.limit.or(Some(PAGE_MAX)))?);
    let mut after = params.after.as_deref().map(parse_position).transpose()?;
    loop {
        let most = blocks.remaining();
        let slice = loop_query::query(&admin.queries, move |gateway, io| {
            gateway.block_slice(io, after, most)
        });
        let slice = slice.await?;
        let mut is_full = false;
        for (place, identity) in slice.blocks {
            is_full = !blocks.push(Block::of(identity, place.until - slice.now));
            if is_full {
                break;
            }
            after = Some(place);
        }
        let more = slice.more || is_full;
        if is_full || !more || blocks.remaining() == 0 {
            let next = after.filter(|_| more);
            return Ok(Json(BlockList {
                blocks: blocks.into_vec(),
                next: next.map(|place| format!("{:x}-{:x}", place.until.0, place.number)),
            }));
        }
    }
}

fn parse_position(text: &str) -> Result<BlockPosition, Problem> {
    let place = text.split_once('-').and_then(|(until, number)| {
        Some(BlockPosition {
            until: Micros(u64::from_str_radix(until, 16).ok()?),
            number: u64::from_str_radix(number, 16).ok()?,
        })
    });
    place
        .ok_or_else(|| Problem::bad_request("after must be the value of next in the previous page"))
}

impl Block {
    fn of(identity: Identity, left: Micros) -> Self {
        Block {
            package: identity.package().map(str::to_owned),
            address: identity.address.map(|address| address.to_string()),
            user: identity.user.into(),
            left_ms: left.as_millis(),
        }
    }
}

/// Unblocks an identity: at one address, or everywhere.
#[utoipa::path(
    delete, path = "/api/v1/blocks", tag = "act", params(BlockParams),
    responses(
        (status = 204), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn lift(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<BlockParams>,
) -> Result<StatusCode, Problem> {
    let place = parse_place(params.address.as_deref())?;
    let lift = loop_query::query(&admin.queries, move |gateway, io| {
        gateway.unblock(io, &params.user, params.package.as_deref(), place)
    });
    match (lift.await?, place) {
        (0, BlockPlace::Everywhere) => {
            Err(Problem::not_found("this user and package are not blocked"))
        }
        (0, _) => {
            let error = "this user and package are not blocked at this address";
            Err(Problem::not_found(error))
        }
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

fn parse_place(address: Option<&str>) -> Result<BlockPlace, Problem> {
    match address {
        None => Ok(BlockPlace::Everywhere),
        Some("none") => Ok(BlockPlace::Proved),
        Some(address) => address.parse().map(BlockPlace::At).map_err(|_| {
            let error = "address must be an IP address, or none for a proved name";
            Problem::bad_request(error)
        }),
    }
}
