//! The addresses behind the routes: which of them a client goes to, and what is known of each.

mod endpoint;
mod endpoints;
mod request_count;

pub(super) use endpoint::{Endpoint, Listing};
pub(super) use endpoints::{Choice, ChoiceRules, EndpointId, Endpoints, Wish};
pub(super) use request_count::InFlight;
