//! The routes of the settings file: read, checked, printed, and converted to those of the bridge.

mod checks;
mod given;
mod route_conversion;
mod values;

pub(super) use checks::{UPSTREAM_ROUTE, check_routes};
pub(super) use given::GivenRoute;
pub(super) use values::RouteValues;
