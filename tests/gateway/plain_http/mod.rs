//! Plain HTTP on the port of the WebSockets: a service that we write by hand, clients that we write
//! by hand, and the gateway between them.

mod answers;
mod ended_early;
mod limits;
mod readings;
mod recorder;
mod requests;
mod retries;
mod rig;
mod upgrades;
mod uploads;
