//! The reactor on real sockets. In (almost) every test fifty control clients run beside what is
//! tested; none of them may be closed, and each of their pings is answered. Tests assert which side
//! closed, with which code and cause, never how fast.

#[path = "../support/folder.rs"]
mod folder;
#[path = "../support/sockets/mod.rs"]
mod sockets;

mod crowds;
mod dial_host;
mod dials;
mod ends;
mod ghosts;
mod heads;
mod late;
mod limits;
#[cfg(feature = "gateway")]
mod memory;
mod own_loop;
mod pairs;
mod seen;
mod slow_peers;
mod threads;
