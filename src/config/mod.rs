//! The gateway's settings: read from flags, environment variables and a file, and checked. All
//! faults are reported at once.

mod alerts;
mod arguments;
mod changes;
mod effective;
mod faults;
mod file;
mod guess;
mod kinds;
mod lists;
mod load;
mod machine;
mod networks;
mod pages;
mod policy;
mod regular;
mod rules;
mod secret;
mod settings;
mod table;
mod typed;

pub use changes::{Change, Changes};
pub use faults::{Fault, Faults, Origin};
pub use kinds::{Kind, Unit};
pub use load::{Command, load};
pub use machine::Machine;
pub use pages::markdown_table;
pub use policy::{BoundsFault, OutOfBounds, check_policy};
pub use secret::Secret;
pub use settings::Settings;
pub use table::{Audience, Fallback, SETTINGS, Setting};
