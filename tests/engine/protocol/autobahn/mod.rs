//! The case groups of the Autobahn test suite (1 to 7, 9 and 10) as tables, against an echoing host
//! without sockets. The suite itself runs only where a CPython 2.7 is found; these tests always
//! run.

mod all;
mod case;
mod closing;
mod frames;
mod limits;
mod utf8;

pub use all::all_frames;
