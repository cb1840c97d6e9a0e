//! The limits of the machine: settings that follow from them, and warnings about settings that
//! exceed them.

use super::Settings;
use crate::reactor::EXTRA_DESCRIPTORS;
use crate::side::MemoryLimit;

/// Descriptors kept for everything except the loop: standard streams, the signals' pipe, the side
/// threads with their 64 connections and 64 webhooks, the state file. Also for a reload, and for
/// what libraries open for a moment.
const RESERVED_DESCRIPTORS: usize = 192;

/// The lower bound of the default of `MAX_BUFFERED_BYTES`.
const BUFFERED_MIN: u64 = 64 << 20;

/// The default of `MAX_BUFFERED_BYTES` if no memory limit is known.
const BUFFERED_UNKNOWN: u64 = 1 << 30;

/// The largest value of `MAX_BUFFERED_BYTES`.
const BUFFERED_MAX: u64 = 1 << 40;

/// Memory of the process without connections and buffers, in bytes.
const PROCESS_BYTES: u64 = 64 << 20;

/// Memory of one idle connection, in bytes, including its handshake. It covers the process and the
/// kernel, because a cgroup counts both.
const CONNECTION_BYTES: u64 = 9 << 10;

/// The resources that a process may use on this machine.
#[derive(Debug, Clone, Copy)]
pub struct ResourceLimits {
    /// The limit of file descriptors.
    pub descriptors: usize,
    /// The memory limit; `None`: unknown.
    pub memory: Option<MemoryLimit>,
}

impl ResourceLimits {
    /// Returns the connections that the descriptors allow, at least 1. 192 descriptors, or a
    /// quarter if that is less, are kept for the admin listener, webhooks, the state file and a
    /// reload.
    pub fn max_connections(&self) -> usize {
        let reserved = RESERVED_DESCRIPTORS.min(self.descriptors / 4);
        let room = self
            .descriptors
            .saturating_sub(EXTRA_DESCRIPTORS + reserved);
        room.max(1)
    }

    /// Returns the memory limit for the log, as `key=value`.
    pub fn describe_memory(&self) -> String {
        match self.memory {
            Some(MemoryLimit { bytes, name }) => format!("limit_bytes={bytes} limit_of=\"{name}\""),
            None => "limit_bytes=unknown".to_owned(),
        }
    }

    /// Returns the bytes for buffers that memory allows with this many connections. The factor of 2
    /// is for frames kept for a replay, which have their own limit, and for allocation overhead.
    fn buffer_bytes(&self, connections: usize) -> Option<u64> {
        let idle = PROCESS_BYTES + connections as u64 * CONNECTION_BYTES;
        let limit = self.memory?.bytes;
        Some(limit.saturating_sub(idle) / 2)
    }
}

impl Settings {
    /// Fills in settings that were not given and follow from the machine, and lowers
    /// `MAX_CONNECTIONS` to what the descriptors allow. Returns a warning in one sentence for every
    /// setting that does not fit.
    pub fn fit_to(&mut self, limits: &ResourceLimits) -> Vec<String> {
        let mut warnings = Vec::new();
        // A client of a service takes a second descriptor, for the connection to the service.
        let per_client = if self.bridge.is_some() { 2 } else { 1 };
        let room = (limits.max_connections() / per_client).max(1);
        let connections = self.max_connections.unwrap_or(room).min(room);
        if let Some(given) = self.max_connections.filter(|given| *given > room) {
            let each = match per_client {
                1 => "",
                _ => "; each client takes two of the others",
            };
            warnings.push(format!(
                "MAX_CONNECTIONS=\"{given}\": is lowered to {room}: the limit of file descriptors \
                 is {}, of which some are kept for the admin listener, the state file and \
                 reloads{each}",
                limits.descriptors
            ));
        }
        self.max_connections = Some(connections);
        self.alerts.capped_by_descriptors = connections == room;

        let room = limits.buffer_bytes(connections);
        let by_default = || {
            let most = room.map_or(BUFFERED_UNKNOWN, |room| {
                room.clamp(BUFFERED_MIN, BUFFERED_MAX)
            });
            usize::try_from(most)
                .unwrap_or(usize::MAX)
                .max(self.max_pending_bytes)
        };
        let (buffered, origin) = match self.max_buffered_bytes {
            Some(given) => (given, "as given"),
            None => (by_default(), "by default"),
        };
        if let (Some(room), Some(memory)) = (room, limits.memory)
            && buffered as u64 > room
        {
            warnings.push(format!(
                "MAX_BUFFERED_BYTES=\"{buffered}\" ({origin}): should be at most {room} with \
                 MAX_CONNECTIONS={connections}: {} is {} bytes; beyond it the kernel may end the \
                 process",
                memory.name, memory.bytes
            ));
        }
        self.max_buffered_bytes = Some(buffered);
        warnings
    }

    /// Returns `MAX_BUFFERED_BYTES`, as given or filled in; before that, the default if no memory
    /// limit is known.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.max_buffered_bytes.unwrap_or(BUFFERED_UNKNOWN as usize)
    }
}
