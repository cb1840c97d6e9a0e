//! The addresses behind the routes: which of them a client goes to, and what is known of each.

mod endpoint;
mod endpoints;
mod evidence;
mod listing;
mod refusal_guard;
mod request_count;
mod request_kind;
mod standing;

pub(super) use endpoint::Endpoint;
pub(super) use endpoints::{Choice, ChoiceRules, EndpointId, Endpoints, Wish};
pub(super) use listing::Listing;
pub(super) use refusal_guard::RefusalGuard;
pub(super) use request_count::InFlight;
pub(super) use request_kind::RequestKind;
