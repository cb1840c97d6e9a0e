//! A fleet on virtual time: the gateway, and peers that speak the contract.

#![allow(dead_code, unused_imports)] // each test binary uses a part of it

mod credentials;
mod frames;
mod gateway;
mod jobs;
mod peers;
mod start;

pub use credentials::{SECRET, credentials, credentials_at};
pub use frames::{button, json, number, texts};
pub use jobs::Noted;
pub use start::Fleet;
