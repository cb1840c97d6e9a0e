//! The addresses behind the routes: which of them a client goes to, and what is known of each.

mod endpoint;
mod endpoints;
mod listing;
mod request_count;

pub(super) use endpoint::Endpoint;
pub(super) use endpoints::{Choice, ChoiceRules, EndpointId, Endpoints, Wish};
pub(super) use listing::Listing;
pub(super) use request_count::InFlight;
