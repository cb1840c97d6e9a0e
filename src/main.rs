//! The gateway's program: the allocator, the command line, and one call of the library.

use std::process::ExitCode;

/// After 10 000 connections had each sent 64 KiB, glibc kept 333 MB of what was freed, where 4 MB were in use before; this
/// one keeps a sixth more than there was (tests/memory.rs). Its thread gives memory back also when nothing else happens.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    pulsegate::process::run(std::env::args_os().skip(1).collect())
}
