//! The addresses behind the routes: which of them a client goes to, and what is known of each.

mod endpoint;
mod endpoints;

pub(super) use endpoint::{Endpoint, InFlight, Listing};
pub(super) use endpoints::{Choice, ChoiceRules, EndpointId, Endpoints, Wish};
