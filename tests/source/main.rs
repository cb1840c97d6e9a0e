//! The sources keep the house rules.

mod doors;
mod folders;
mod imports;
mod layering;
mod manifest;
mod names;
mod prose;
mod reading;
mod tidiness;
