//! The sources keep the house rules.

mod imports;
mod layering;
mod names;
mod prose;
