//! What the system says of this process.

use procfs::process::{LimitValue, Process};
use serde::Serialize;
use utoipa::ToSchema;

/// Figures of the process, from `/proc`; what cannot be read is missing.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub(super) struct Figures {
    /// Time on a CPU, user and system, in seconds.
    pub(super) cpu_seconds: Option<f64>,
    /// Open file descriptors.
    pub(super) open_fds: Option<u64>,
    /// How many there may be.
    pub(super) max_fds: Option<u64>,
    /// Memory in RAM, in bytes.
    pub(super) resident_memory_bytes: Option<u64>,
    /// Address space, in bytes.
    pub(super) virtual_memory_bytes: Option<u64>,
    /// Threads.
    pub(super) threads: Option<u64>,
}

/// Reads them now.
pub(super) fn figures() -> Figures {
    let Ok(process) = Process::myself() else {
        return Figures::default();
    };
    let stat = process.stat().ok();
    let stat = stat.as_ref();
    let max_fds = process
        .limits()
        .ok()
        .and_then(|limits| match limits.max_open_files.soft_limit {
            LimitValue::Value(most) => Some(most),
            LimitValue::Unlimited => None,
        });
    Figures {
        cpu_seconds: stat.map(|s| (s.utime + s.stime) as f64 / procfs::ticks_per_second() as f64),
        open_fds: process.fd_count().ok().map(|n| n as u64),
        max_fds,
        resident_memory_bytes: stat.map(|s| s.rss * procfs::page_size()),
        virtual_memory_bytes: stat.map(|s| s.vsize),
        threads: stat.and_then(|s| u64::try_from(s.num_threads).ok()),
    }
}
