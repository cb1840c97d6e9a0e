//! One message tells every fault, and one fault causes no second one.

use super::loading::{faults, start};
use crate::folder::Folder;
use pulsegate::config::{SettingFault, ValueOrigin};

#[test]
fn one_message_tells_every_fault() {
    let error = start(
        "--frobnicate 7 leftover --max-message-bytes --stats-interval-ms=x --check=1 \
         --heartbeat-interval-ms 30000 -q --listen-addr 0.0.0.0:80",
        &[
            "CONNECTION_TIMEOUT_MS=20000",
            "STATS_INTERVAL_MS=also wrong, but overruled",
            "HEARTBEAT_MODE=sometimes",
            "MAX_BUFFERED_BYTES=65536",
            "REUSE_PORT=2",
        ],
    )
    .expect_err("many faults");
    assert_eq!(
        error.to_string(),
        "11 settings are wrong:
  \"--frobnicate\" (flag): is unknown; --help-all lists all flags
  \"leftover\" (argument): is neither a flag nor the value of one; --help-all lists all flags
  --max-message-bytes (flag): has no value; it must be a whole number of bytes from 125 to 67108864
  --check=\"1\" (flag): takes no value
  \"-q\" (flag): is unknown; --help-all lists all flags
  STATS_INTERVAL_MS=\"x\" (flag): must be a whole number of milliseconds from 10 to 86400000, or \
  with a unit (15s, 2m)
  HEARTBEAT_MODE=\"sometimes\" (env): must be always or idle
  REUSE_PORT=\"2\" (env): must be 0, 1, false or true
  LISTEN_ADDR=\"0.0.0.0:80\" (flag): must be a loopback address, unless AUTH_JWT_SECRET, \
AUTH_JWT_SECRET_FILE or APPS_FILE is set, UPSTREAM or a route serves all paths, or \
ALLOW_UNAUTHENTICATED is 1: otherwise every client that reaches this address could connect as any \
user
  CONNECTION_TIMEOUT_MS=\"20000\" (env): must be more than HEARTBEAT_INTERVAL_MS, which is 30000 \
  (flag)
  MAX_BUFFERED_BYTES=\"65536\" (env): must be at least MAX_PENDING_BYTES, which is 4194304 \
  (default)"
    );
    assert!(error.iter().any(|fault| matches!(
        fault,
        SettingFault::Value { name: "HEARTBEAT_MODE", origin: ValueOrigin::Variable, value, .. }
            if value == "sometimes"
    )));
}

#[test]
fn one_message_tells_the_faults_of_the_file_with_all_others() {
    let folder = Folder::new();
    let file = folder.file(
        "settings.toml",
        "stats_interval_ms = 1\nLOG_LEVEL = 5\nunknown = 1\n[table]\n",
    );
    let told = faults(&format!("--config-file {file} -x"), &["DRAIN_MS=x"]);
    let told: Vec<String> = told
        .iter()
        .map(|fault| fault.replace(&file, "FILE"))
        .collect();
    assert_eq!(
        told,
        [
            "\"-x\" (flag): is unknown; --help-all lists all flags",
            "\"table\" (FILE:4): is a table; settings must be outside of tables, \
             and routes under [[route]]",
            "\"unknown\" (FILE:3): is unknown; --help-all lists all settings",
            "STATS_INTERVAL_MS=\"1\" (FILE:1): must be a whole number of milliseconds from 10 to \
             86400000, or with a unit (15s, 2m)",
            "LOG_LEVEL (FILE:2): is an integer; it must be error, warn, info, debug or trace",
            "DRAIN_MS=\"x\" (env): must be a whole number of milliseconds from 0 to 86400000, or \
             with a unit (15s, 2m)",
        ]
    );
}

#[test]
fn what_an_unreadable_file_may_have_said_makes_nothing_else_wrong() {
    let told = faults(
        "--config-file /none --listen-addr 0.0.0.0:1 --admin-addr 0.0.0.0:2 --proxy-protocol v1 \
         --heartbeat-interval-ms 50000 --drain-ms x",
        &[],
    );
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("CONFIG_FILE=\"/none\" (flag): must be"));
    assert!(told[1].starts_with("DRAIN_MS=\"x\" (flag): must be"));
}
