//! Jobs of a real loop, done by the side thread: webhooks to HTTP servers of the tests, and the
//! state file.

mod app_server;
mod job_thread;
mod networks;
mod queue;
mod requests;
mod signatures;
mod state_file;
