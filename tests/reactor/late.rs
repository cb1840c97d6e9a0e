//! Late heartbeats on real sockets: what the kernel says of a peer that is stopped, and of one
//! whose link is cut.

use crate::sockets::{Client, Host, Seen, config};
use pulsegate::Micros;
use pulsegate::cause::Cause;
use pulsegate::engine::KernelEvidence;
use std::process::Command;

/// Waits for the first late heartbeat of the connection on `path`. Returns what the kernel said.
fn first_late(host: &Host, path: &str) -> KernelEvidence {
    let evidence = host.wait_for(&format!("a late heartbeat of {path}"), |seen| {
        seen.iter().find_map(|s| match s {
            Seen::Late { path: p, evidence } if p == path => Some(*evidence),
            _ => None,
        })
    });
    evidence.kernel.expect("a TCP connection on Linux")
}

#[test]
fn the_kernel_of_a_stopped_peer_has_acknowledged_the_heartbeat() {
    let host = Host::start();
    // Like a stopped process, it neither reads nor answers; its kernel does.
    let client = Client::open(host.addr, "/stopped");
    let kernel = first_late(&host, "/stopped");
    assert_eq!(
        kernel,
        KernelEvidence {
            heartbeat_acked: true,
            ..KernelEvidence::default()
        }
    );
    let end = host.ending("/stopped");
    assert_eq!(end.cause, Cause::STALE);
    assert!(end.late_heartbeats >= 2, "{end:?}");
    assert!(
        end.silence_evidence
            .is_some_and(|e| e.kernel == Some(kernel))
    );
    let seen = host.seen();
    let place = |find: &dyn Fn(&Seen) -> bool| seen.iter().position(find).expect("it was told");
    let late = place(&|s| matches!(s, Seen::Late { .. }));
    let suspect = place(&|s| matches!(s, Seen::Health { .. }));
    assert!(late < suspect, "{seen:?}");
    drop(client);
    assert_eq!(host.stop().classes[0].late, u64::from(end.late_heartbeats));
}

#[test]
fn the_kernel_before_a_cut_link_has_backed_off() {
    let test = "late::a_link_is_cut_in_a_network_of_its_own";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c"])
        .arg("ip link set lo up || exit 77; exec \"$0\" \"$@\"")
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", test, "--nocapture", "--ignored"])
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) => output,
        other => return eprintln!("SKIPPED, no network namespace is possible here: {other:?}"),
    };
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    if err.contains("unshare:") {
        return eprintln!("SKIPPED, no network namespace is possible here: {err}");
    }
    assert!(out.contains("1 passed"), "{out}\n{err}");
}

#[test]
#[ignore = "runs in a network namespace, started by the test above"]
fn a_link_is_cut_in_a_network_of_its_own() {
    let mut config = config();
    let policy = &mut config.classes[0].policy;
    // Half of the interval is 2 s, in which the kernel sends the heartbeat again three times.
    policy.heartbeat_interval = Micros::from_secs(4);
    policy.connection_timeout = Micros::from_secs(9);
    let host = Host::start_with(config, 100);
    let mut client = Client::open(host.addr, "/cut");
    client.send_text("here");
    client.expect_echo("here");
    let cut = Command::new("ip")
        .args(["link", "set", "lo", "down"])
        .status();
    assert!(cut.is_ok_and(|status| status.success()));
    let kernel = first_late(&host, "/cut");
    assert!(!kernel.heartbeat_acked && !kernel.proxy, "{kernel:?}");
    assert!(kernel.in_flight >= 1 && kernel.backoff >= 2, "{kernel:?}");
    assert!(kernel.retransmits >= 2 && kernel.probes == 0, "{kernel:?}");
}
