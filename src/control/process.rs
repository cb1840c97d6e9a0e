//! What the system says of this process.

use procfs::process::{LimitValue, Process};
use procfs::{Current, Meminfo};
use serde::Serialize;
use std::path::Path;
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

/// Memory in use beside the limit that is nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// In bytes.
    pub(super) used: u64,
    /// In bytes.
    pub(super) limit: u64,
    /// Whose limit it is, in words.
    pub(super) of: &'static str,
}

/// The limit of memory that this process is nearest to: its cgroup's, its own, or the machine's.
pub(super) fn memory() -> Option<Memory> {
    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let resident = stat.rss * procfs::page_size();
    let own = process.limits().ok().map(|limits| limits.max_address_space);
    let own = own.and_then(|limit| match limit.soft_limit {
        LimitValue::Value(most) => Some(most),
        LimitValue::Unlimited => None,
    });
    let machine = Meminfo::current().ok().map(|info| info.mem_total);
    nearest([
        (resident, cgroup(), "the cgroup's limit"),
        (stat.vsize, own, "the process's limit of address space"),
        (resident, machine, "the machine's memory"),
    ])
}

fn nearest(limits: [(u64, Option<u64>, &'static str); 3]) -> Option<Memory> {
    let known = limits.into_iter().filter_map(|(used, limit, of)| {
        let limit = limit.filter(|limit| *limit > 0)?;
        Some(Memory { used, limit, of })
    });
    // 128 bits: neither product overflows.
    let is_nearer = |a: &Memory, b: &Memory| {
        let (a, b) = (
            u128::from(a.used) * u128::from(b.limit),
            u128::from(b.used) * u128::from(a.limit),
        );
        a.cmp(&b)
    };
    known.max_by(is_nearer)
}

/// The least limit of the cgroups that this process is in, of version 2 or 1, as far as it can see them.
fn cgroup() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // Each group is also held to what its parents may; a container sees its own as the root.
        for above in Path::new(path).ancestors() {
            let relative = above.strip_prefix("/").unwrap_or(above);
            let read = std::fs::read_to_string(Path::new(root).join(relative).join(file));
            limits.extend(read.ok().and_then(|text| limit_of(&text)));
        }
    }
    limits.into_iter().min()
}

/// What a file of a limit says; `max`, or more than any machine has, is none.
fn limit_of(text: &str) -> Option<u64> {
    let limit: u64 = text.trim().parse().ok()?;
    (limit < 1 << 50).then_some(limit)
}

/// What this machine is called.
pub(super) fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_limit_is_told_with_whose_it_is() {
        let cgroup = (90, Some(100), "cgroup");
        let own = (500, Some(1_000), "own");
        let machine = (90, Some(1_000), "machine");
        let found = nearest([cgroup, own, machine]).expect("limits");
        assert_eq!((found.used, found.limit, found.of), (90, 100, "cgroup"));
        let found = nearest([(90, None, "cgroup"), own, machine]).expect("limits");
        assert_eq!(found.of, "own");
        assert_eq!(
            nearest([(1, None, ""), (1, Some(0), ""), (1, None, "")]),
            None
        );
    }

    #[test]
    fn limits_are_read_and_none_is_none() {
        assert_eq!(limit_of("1048576\n"), Some(1 << 20));
        assert_eq!(limit_of("max\n"), None);
        assert_eq!(limit_of("9223372036854771712\n"), None);
        assert!(memory().is_some_and(|m| m.used > 0 && m.limit > 0));
    }
}
