//! Defaults and limits that follow from the memory and the file descriptors of the machine.

use super::loading::{classes, run};
use pulsegate::config::ResourceLimits;
use pulsegate::side::MemoryLimit;

const MIB: u64 = 1 << 20;

fn machine(descriptors: usize, mebibytes: u64) -> ResourceLimits {
    let name = "the cgroup's limit";
    let bytes = mebibytes * MIB;
    ResourceLimits {
        descriptors,
        memory: Some(MemoryLimit { bytes, name }),
    }
}

#[test]
fn max_buffered_bytes_is_by_default_half_of_what_memory_leaves() {
    // Connections, the limit in MiB, and what is left for buffers: max(64 MiB, (limit - 64 MiB -
    // connections x 9 KiB) / 2).
    for (connections, limit, buffered) in [
        (1_024, 4_096, (4_096 - 64 - 9) * MIB / 2),
        (18_000, 1_024, (960 * MIB - 18_000 * 9 * 1_024) / 2),
        (1_024, 201, 64 * MIB),
        (1_024, 203, 65 * MIB),
        (1_024, 100, 64 * MIB),
        (1_024, 1, 64 * MIB),
        (1_024, 1 << 30, 1 << 40),
    ] {
        let mut settings = run("", &[&format!("MAX_CONNECTIONS={connections}")]);
        let warnings = settings.fit_to(&machine(1_000_000, limit));
        let what = format!("{connections} connections in {limit} MiB");
        assert_eq!(
            settings.max_buffered_bytes,
            Some(buffered as usize),
            "{what}"
        );
        assert_eq!(
            settings.engine_config(&classes()).max_buffered_bytes,
            buffered as usize
        );
        assert_eq!(
            settings.engine_config(&classes()).validate(),
            Ok(()),
            "{what}"
        );
        let fits = limit >= 201;
        assert_eq!(warnings.is_empty(), fits, "{what}: {warnings:?}");
        let line = settings.describe();
        assert!(
            line.contains(&format!(" max_buffered_bytes={buffered} ")),
            "{line}"
        );
    }
    // It must hold the limit of one peer.
    let mut settings = run("", &["MAX_PENDING_BYTES=200000000"]);
    settings.fit_to(&machine(1_024, 256));
    assert_eq!(settings.max_buffered_bytes, Some(200_000_000));
    assert_eq!(settings.engine_config(&classes()).validate(), Ok(()));
    // If no memory limit can be read.
    let mut settings = run("", &[]);
    let nothing = ResourceLimits {
        descriptors: 1_024,
        memory: None,
    };
    assert_eq!(settings.fit_to(&nothing), [""; 0]);
    assert_eq!(settings.max_buffered_bytes, Some(1 << 30));
}

#[test]
fn max_buffered_bytes_as_given_holds_and_is_warned_of_if_memory_does_not() {
    let given = ["MAX_CONNECTIONS=1024", "MAX_BUFFERED_BYTES=1073741824"];
    let mut settings = run("", &given);
    let warnings = settings.fit_to(&machine(10_000, 512));
    assert_eq!(settings.max_buffered_bytes, Some(1 << 30));
    assert_eq!(
        warnings,
        [
            "MAX_BUFFERED_BYTES=\"1073741824\" (as given): should be at most 230162432 with \
             MAX_CONNECTIONS=1024: the cgroup's limit is 536870912 bytes; beyond it the kernel may \
             end the process"
        ]
    );
    let mut settings = run("", &given);
    assert_eq!(settings.fit_to(&machine(10_000, 4_096)), [""; 0]);
    assert_eq!(settings.max_buffered_bytes, Some(1 << 30));
}

#[test]
fn max_connections_is_at_most_what_descriptors_allow() {
    for (descriptors, room) in [
        (1_048_576, 1_048_576 - 192 - 83),
        (1_024, 749),
        (768, 493),
        (200, 67),
        (64, 1),
        (3, 1),
    ] {
        let machine = machine(descriptors, 1 << 20);
        let mut settings = run("", &[]);
        assert_eq!(settings.fit_to(&machine), [""; 0]);
        assert_eq!(settings.max_connections, Some(room), "{descriptors}");
        // So, of two alerts with the same reason, one explains the other.
        assert!(settings.alerts.capped_by_descriptors);

        let mut settings = run("", &[&format!("MAX_CONNECTIONS={}", room + 1)]);
        let warnings = settings.fit_to(&machine);
        assert_eq!(settings.max_connections, Some(room));
        assert_eq!(
            warnings,
            [format!(
                "MAX_CONNECTIONS=\"{}\": is lowered to {room}: the limit of file descriptors is \
                 {descriptors}, of which some are kept for the admin listener, the state file and \
                 reloads",
                room + 1
            )]
        );

        let mut settings = run("", &[&format!("MAX_CONNECTIONS={room}")]);
        assert_eq!(settings.fit_to(&machine), [""; 0]);
        assert_eq!(settings.max_connections, Some(room));
        assert!(settings.alerts.capped_by_descriptors);

        if room > 1 {
            let mut settings = run("", &[&format!("MAX_CONNECTIONS={}", room - 1)]);
            assert_eq!(settings.fit_to(&machine), [""; 0]);
            assert!(!settings.alerts.capped_by_descriptors);
        }
    }
}
