//! What the system reports about this process.

use procfs::process::{LimitValue, Process};
use procfs::{Current, Meminfo};
use serde::Serialize;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use utoipa::ToSchema;

/// Statistics of the process, from `/proc`; `None` for those that cannot be read.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = Figures)]
pub(super) struct ProcessStats {
    /// CPU time, user and system, in seconds.
    pub(super) cpu_seconds: Option<f64>,
    /// Open file descriptors.
    pub(super) open_fds: Option<u64>,
    /// The limit of open file descriptors.
    pub(super) max_fds: Option<u64>,
    /// Resident memory, in bytes.
    pub(super) resident_memory_bytes: Option<u64>,
    /// Address space, in bytes.
    pub(super) virtual_memory_bytes: Option<u64>,
    /// Threads.
    pub(super) threads: Option<u64>,
}

/// Reads the current statistics.
pub(super) fn stats() -> ProcessStats {
    let Ok(process) = Process::myself() else {
        return ProcessStats::default();
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
    ProcessStats {
        cpu_seconds: stat.map(|s| (s.utime + s.stime) as f64 / procfs::ticks_per_second() as f64),
        open_fds: process.fd_count().ok().map(|n| n as u64),
        max_fds,
        resident_memory_bytes: stat.map(|s| s.rss * procfs::page_size()),
        virtual_memory_bytes: stat.map(|s| s.vsize),
        threads: stat.and_then(|s| u64::try_from(s.num_threads).ok()),
    }
}

/// Returns how many local ports the kernel may choose for an outgoing connection (ip(7)).
pub(super) fn local_ports() -> Option<u64> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    (last + 1).checked_sub(first)
}

/// Returns whether something is mounted on `path` itself, as far as this process can see. `path`
/// may go through symbolic links.
pub(super) fn is_mount_point(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    let mounts = Process::myself().and_then(|process| process.mountinfo());
    mounts.is_ok_and(|mounts| {
        mounts
            .into_iter()
            .any(|mount| unescaped(&mount.mount_point) == path)
    })
}

/// Decodes a path: the kernel writes spaces, tabs, line breaks and backslashes in it as octal
/// numbers, `\040`.
fn unescaped(path: &Path) -> PathBuf {
    let mut bytes = path.as_os_str().as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    while let Some((first, rest)) = bytes.split_first() {
        let number = rest.get(..3).and_then(|digits| str::from_utf8(digits).ok());
        let number = number.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let byte;
        (byte, bytes) = match (first, number) {
            (b'\\', Some(byte)) => (byte, &rest[3..]),
            _ => (*first, rest),
        };
        plain.push(byte);
    }
    OsString::from_vec(plain).into()
}

/// Memory in use, and the nearest limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryUse {
    /// The number of bytes.
    pub(super) used: u64,
    /// The number of bytes.
    pub(super) limit: u64,
    /// A description of the limit, in words.
    pub(super) name: &'static str,
}

const CGROUP: &str = "the cgroup's limit";
const MACHINE: &str = "the machine's memory";

/// The memory limit of the process, which includes the kernel's memory for its sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    /// The number of bytes.
    pub bytes: u64,
    /// A description of the limit, in words.
    pub name: &'static str,
}

/// Returns the lowest limit of memory: of the cgroups and of the machine, as far as they can be
/// read.
pub fn memory_limit() -> Option<MemoryLimit> {
    least(cgroup(), machine())
}

fn least(cgroup: Option<u64>, machine: Option<u64>) -> Option<MemoryLimit> {
    let named = |bytes: Option<u64>, name| bytes.map(|bytes| MemoryLimit { bytes, name });
    let limits = [named(machine, MACHINE), named(cgroup, CGROUP)];
    limits.into_iter().flatten().min_by_key(|limit| limit.bytes)
}

fn machine() -> Option<u64> {
    Some(Meminfo::current().ok()?.mem_total)
}

/// Returns the memory limit that this process is nearest to: its cgroup's, its own, or the
/// machine's.
pub(super) fn memory() -> Option<MemoryUse> {
    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let resident = stat.rss * procfs::page_size();
    let own = process.limits().ok().map(|limits| limits.max_address_space);
    let own = own.and_then(|limit| match limit.soft_limit {
        LimitValue::Value(most) => Some(most),
        LimitValue::Unlimited => None,
    });
    nearest([
        (resident, cgroup(), CGROUP),
        (stat.vsize, own, "the process's limit of address space"),
        (resident, machine(), MACHINE),
    ])
}

fn nearest(limits: [(u64, Option<u64>, &'static str); 3]) -> Option<MemoryUse> {
    let known = limits.into_iter().filter_map(|(used, limit, name)| {
        let limit = limit.filter(|limit| *limit > 0)?;
        Some(MemoryUse { used, limit, name })
    });
    // With 128 bits neither product overflows.
    let is_nearer = |a: &MemoryUse, b: &MemoryUse| {
        let (a, b) = (
            u128::from(a.used) * u128::from(b.limit),
            u128::from(b.used) * u128::from(a.limit),
        );
        a.cmp(&b)
    };
    known.max_by(is_nearer)
}

/// Returns the least limit of the cgroups that contain this process, as far as it can see them.
fn cgroup() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    cgroup_limit(&groups, |file| std::fs::read_to_string(file).ok())
}

/// Returns the least limit of cgroups, version 2 or 1: those that `groups` names
/// (`/proc/self/cgroup`), and their parents. `read` returns the contents of their files.
fn cgroup_limit(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
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
        // The limits of its parents apply to a group, too; a container sees its own group as the
        // root.
        for above in Path::new(path).ancestors() {
            let relative = above.strip_prefix("/").unwrap_or(above);
            let text = read(&Path::new(root).join(relative).join(file));
            limits.extend(text.and_then(|text| limit_of(&text)));
        }
    }
    limits.into_iter().min()
}

/// Parses the file of a limit; `max`, or more than any machine has, is `None`.
fn limit_of(text: &str) -> Option<u64> {
    let limit: u64 = text.trim().parse().ok()?;
    (limit < 1 << 50).then_some(limit)
}

/// Returns the name of this machine.
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
        assert_eq!((found.used, found.limit, found.name), (90, 100, "cgroup"));
        let found = nearest([(90, None, "cgroup"), own, machine]).expect("limits");
        assert_eq!(found.name, "own");
        assert_eq!(
            nearest([(1, None, ""), (1, Some(0), ""), (1, None, "")]),
            None
        );
    }

    /// Returns the limit of the groups in `/proc/self/cgroup` with these files below
    /// `/sys/fs/cgroup`.
    fn limit(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        cgroup_limit(groups, |wanted| {
            let wanted = wanted.strip_prefix("/sys/fs/cgroup").ok()?;
            let file = files.iter().find(|(path, _)| Path::new(path) == wanted)?;
            Some(file.1.to_owned())
        })
    }

    #[test]
    fn of_nested_cgroups_the_smallest_limit_counts() {
        let groups = "0::/system.slice/pulsegate.service/main\n";
        let own = "system.slice/pulsegate.service/main/memory.max";
        let parent = "system.slice/pulsegate.service/memory.max";
        let slice = "system.slice/memory.max";
        assert_eq!(limit(groups, &[(own, "536870912\n")]), Some(512 << 20));
        let files = [
            (own, "max\n"),
            (parent, "268435456\n"),
            (slice, "536870912\n"),
        ];
        assert_eq!(limit(groups, &files), Some(256 << 20));
        let files = [(own, "536870912\n"), (slice, "268435456\n")];
        assert_eq!(limit(groups, &files), Some(256 << 20));
        assert_eq!(limit(groups, &[(own, "max\n"), (slice, "max\n")]), None);
    }

    #[test]
    fn a_container_sees_its_own_cgroup_as_the_root() {
        assert_eq!(
            limit("0::/\n", &[("memory.max", "1073741824\n")]),
            Some(1 << 30)
        );
        // Version 1, where the path is the host's and the container's group is mounted as the root.
        let groups = "12:cpu,cpuacct:/docker/abc\n9:memory:/docker/abc\n\
                      1:name=systemd:/docker/abc\n0::/docker/abc\n";
        let file = "memory/memory.limit_in_bytes";
        assert_eq!(limit(groups, &[(file, "1073741824\n")]), Some(1 << 30));
        assert_eq!(limit(groups, &[(file, "9223372036854771712\n")]), None);
        let files = [("memory/docker/abc/memory.limit_in_bytes", "209715200\n")];
        assert_eq!(limit(groups, &files), Some(200 << 20));
        assert_eq!(limit("", &[("memory.max", "1\n")]), None);
    }

    #[test]
    fn a_cgroup_above_the_machine_is_no_limit() {
        let found = least(Some(512), Some(1_024)).map(|m| (m.bytes, m.name));
        assert_eq!(found, Some((512, CGROUP)));
        let found = least(Some(2_048), Some(1_024)).map(|m| (m.bytes, m.name));
        assert_eq!(found, Some((1_024, MACHINE)));
        assert_eq!(least(None, None), None);
    }

    #[test]
    fn limits_are_read_and_none_is_none() {
        assert_eq!(limit_of("1048576\n"), Some(1 << 20));
        assert_eq!(limit_of("max\n"), None);
        assert_eq!(limit_of("9223372036854771712\n"), None);
        assert!(memory_limit().is_some_and(|m| m.bytes > 0));
        assert!(memory().is_some_and(|m| m.used > 0 && m.limit > 0));
    }
}
