//! The gateway's settings: read from flags, environment variables and a file, and checked. All
//! faults are reported at once.

mod alert_conversion;
mod arguments;
mod combinations;
mod conversion;
mod effective_values;
mod fault_text;
mod file_line;
mod file_value;
mod help;
mod lists;
mod load;
mod misspelt_variables;
mod mistakes;
mod networks;
mod own_addresses;
mod policy_bounds;
mod regular_file;
mod reload_diff;
mod reload_values;
mod resource_limits;
mod routes;
mod secret;
mod setting_faults;
mod setting_value;
mod settings;
mod settings_file;
mod suggestion;
mod table;
mod upstream_mistakes;
mod upstream_policy;
mod value_kind;

pub use file_line::FileLine;
pub use help::{markdown_table, route_table};
pub use load::{CliAction, load};
pub use misspelt_variables::variable_warnings;
pub use own_addresses::reaches;
pub use policy_bounds::{BoundsFault, OutOfBounds, check_policy};
pub use reload_diff::{ReloadDiff, RouteChange, SettingChange};
pub use resource_limits::ResourceLimits;
pub use secret::Secret;
pub use setting_faults::{RouteFault, SettingFault, SettingFaults, ValueOrigin};
pub use settings::{BridgeSettings, Settings};
pub use table::{Audience, Fallback, ROUTE_FIELDS, RouteField, SETTINGS, Setting};
pub use value_kind::{Unit, ValueKind};
