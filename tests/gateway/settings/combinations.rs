//! Settings that must fit each other: timeouts and intervals, subprotocols, limits of bytes.

use super::loading::{fault, faults, printed_with_file, run, wrong_flag, wrong_variable};

/// Asserts that a timeout is the only fault of these flags and variables, because of an interval.
#[track_caller]
fn timeout_too_short(args: &str, env: &[&str], timeout: &str, interval: &str) {
    let told = format!("{timeout}: must be more than {interval}");
    assert_eq!(fault(args, env), told);
}

#[test]
fn a_timeout_must_be_above_its_interval_in_each_class() {
    let general = "HEARTBEAT_INTERVAL_MS, which is 15000 (default)";
    let timeout = "CONNECTION_TIMEOUT_MS=\"15000\" (env)";
    timeout_too_short("", &["CONNECTION_TIMEOUT_MS=15000"], timeout, general);
    let timeout = "GLASSES_CONNECTION_TIMEOUT_MS=\"10000\" (env)";
    let env = ["GLASSES_CONNECTION_TIMEOUT_MS=10000"];
    timeout_too_short("", &env, timeout, general);
    let timeout = "CONNECTION_TIMEOUT_MS=\"45000\" (default)";
    let interval = "APP_HEARTBEAT_INTERVAL_MS, which is 50000 (flag)";
    timeout_too_short("--app-heartbeat-interval-ms 50000", &[], timeout, interval);
    // Both classes inherit it: one fault.
    let interval = "HEARTBEAT_INTERVAL_MS, which is 50000 (flag)";
    timeout_too_short("--heartbeat-interval-ms 50000", &[], timeout, interval);
    let own = "--glasses-heartbeat-interval-ms 20 --glasses-connection-timeout-ms 20 \
               --app-heartbeat-interval-ms 30 --app-connection-timeout-ms 29";
    assert_eq!(faults(own, &[]).len(), 2);
    // Clients of a service have the general pair.
    let clients = "--upstream http://a --heartbeat-interval-ms 50000 \
                   --glasses-heartbeat-interval-ms 10 --app-heartbeat-interval-ms 10";
    let timeout = "CONNECTION_TIMEOUT_MS=\"45000\" (default)";
    timeout_too_short(clients, &[], timeout, interval);
}

#[test]
fn a_timeout_above_its_interval_or_that_no_class_uses_is_no_fault() {
    let unused = "--heartbeat-interval-ms 50000 --glasses-heartbeat-interval-ms 10 \
                  --app-heartbeat-interval-ms 10";
    run(unused, &[]);
    let least = run("--connection-timeout-ms 15001", &[]);
    assert_eq!(least.app.validate(), Ok(()));
    // A value with a fault of its own causes no faults in others.
    let told = fault("--heartbeat-interval-ms 0", &[]);
    assert!(told.starts_with("HEARTBEAT_INTERVAL_MS=\"0\""), "{told}");
}

#[test]
fn a_timeout_below_twice_its_interval_is_warned_of_with_numbers() {
    let warnings = |args: &str, env: &[&str]| run(args, env).warnings();
    for fine in [
        "",
        "--connection-timeout-ms 30000",
        "--heartbeat-interval-ms 10 --connection-timeout-ms 20",
        // No class uses the general pair here.
        "--heartbeat-interval-ms 40000 --glasses-heartbeat-interval-ms 10 \
         --app-heartbeat-interval-ms 10",
    ] {
        assert_eq!(warnings(fine, &[]), [""; 0], "{fine}");
    }
    assert_eq!(
        warnings("", &["CONNECTION_TIMEOUT_MS=29999"]),
        [
            "CONNECTION_TIMEOUT_MS, which is 29999 (env), is less than twice \
             HEARTBEAT_INTERVAL_MS, which is 15000 (default): one lost ping would close a live \
             peer; set it to at least 30000"
        ],
        "both classes inherit it: one warning"
    );
    assert_eq!(
        warnings(
            "--app-heartbeat-interval-ms 22501 --glasses-connection-timeout-ms 16000",
            &[]
        ),
        [
            "GLASSES_CONNECTION_TIMEOUT_MS, which is 16000 (flag), is less than twice \
             HEARTBEAT_INTERVAL_MS, which is 15000 (default): one lost ping would close a live \
             peer; set it to at least 30000",
            "CONNECTION_TIMEOUT_MS, which is 45000 (default), is less than twice \
             APP_HEARTBEAT_INTERVAL_MS, which is 22501 (flag): one lost ping would close a live \
             peer; set it to at least 45002"
        ]
    );
    let upstream = "--upstream http://127.0.0.1:80 --upstream-connection-timeout-ms 74999";
    assert_eq!(
        warnings(upstream, &[]),
        [
            "UPSTREAM_CONNECTION_TIMEOUT_MS, which is 74999 (flag), is less than two and a half \
             times UPSTREAM_HEARTBEAT_INTERVAL_MS, which is 30000 (default): a service that \
             stands still would lose connections before it counts as unresponsive; set it to at \
             least 75000"
        ]
    );
    assert_eq!(
        warnings(
            "--upstream http://127.0.0.1:80 --allowed-origins https://a.example",
            &["AUTH_JWT_SECRET=12345678"]
        ),
        [
            "AUTH_JWT_SECRET, ALLOWED_ORIGINS: no effect if a route serves all paths, because \
             the service \
             decides which clients may connect"
        ]
    );
}

#[test]
fn a_subprotocol_is_required_only_where_one_is_accepted() {
    for class in ["GLASSES", "APP"] {
        let [accepted, required] = [
            format!("{class}_SUBPROTOCOLS"),
            format!("{class}_SUBPROTOCOL_REQUIRED=1"),
        ];
        let env = |list: &str| format!("{accepted}={list}");
        assert_eq!(
            fault("", &[&env("none"), &required]),
            format!(
                "{class}_SUBPROTOCOL_REQUIRED=\"1\" (env): must be 0, unless {accepted} names at \
                 least one subprotocol: otherwise no client could connect"
            )
        );
        run("", &[&env("a"), &required]);
        run("", &[&env("any"), &required]);
        run("", &[&env("none")]);
    }
}

#[test]
fn subprotocols_are_tokens_in_the_order_of_their_preference() {
    let tokens = "up to 16 subprotocols, separated by commas, each a token (RFC 9110) of up to \
                  128 characters; or any, or none";
    wrong_variable("GLASSES_SUBPROTOCOLS", "a,b c", tokens);
    wrong_variable("APP_SUBPROTOCOLS", "a,b c", tokens);
    let text = printed_with_file("glasses_subprotocols = ['b', 'a']");
    let line = "\nGLASSES_SUBPROTOCOLS=b,a # file\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn pending_bytes_follow_the_message_limit() {
    let pending = |message: &str| run(message, &[]).max_pending_bytes;
    assert_eq!(pending("--max-message-bytes 2097152"), 4 << 20);
    assert_eq!(pending("--max-message-bytes 2097153"), (4 << 20) + 2);
    assert_eq!(pending("--max-message-bytes 67108864"), 128 << 20);
}

#[test]
fn limits_must_hold_what_they_are_limits_of() {
    let more_than_a_message =
        "at least 10 bytes more than MAX_MESSAGE_BYTES, which is 1048576 (default)";
    wrong_flag("MAX_PENDING_BYTES", "1048585", more_than_a_message);
    run("--max-pending-bytes 1048586", &[]);
    assert_eq!(
        fault("--max-pending-bytes 65535 --max-message-bytes 125", &[]),
        "MAX_PENDING_BYTES=\"65535\" (flag): must be a whole number of bytes from 65536 to \
         1073741824; at least 10 bytes more than MAX_MESSAGE_BYTES"
    );
    run("--max-pending-bytes 65536 --max-message-bytes 125", &[]);
    let all_of_a_peer = "at least MAX_PENDING_BYTES, which is 4194304 (default)";
    wrong_flag("MAX_BUFFERED_BYTES", "4194303", all_of_a_peer);
    let both = "--max-message-bytes 2000000 --max-pending-bytes 100000 --max-buffered-bytes 90000";
    assert_eq!(faults(both, &[]).len(), 2);
    // The default of the pending limit follows the message size; it is not a second fault.
    let told = fault("--max-message-bytes 0", &[]);
    assert!(told.starts_with("MAX_MESSAGE_BYTES=\"0\""), "{told}");
}
