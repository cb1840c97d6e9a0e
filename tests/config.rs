//! The settings as an operator meets them: the table, who wins, what is wrong and how it is told, and what is printed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use log::LevelFilter;
use pulsegate::config::{
    Audience, Command, Fallback, Fault, Faults, Kind, Origin, SETTINGS, Settings, load,
    markdown_table,
};
use pulsegate::health::{HeartbeatMode, Policy};
use pulsegate::time::Micros;

/// A start of the program: `args` separated by spaces, `env` as `NAME=value` pairs.
fn start(args: &str, env: &[&str]) -> Result<Command, Faults> {
    let args = args.split_whitespace().map(OsString::from);
    let env: HashMap<&str, &str> = env
        .iter()
        .map(|pair| pair.split_once('=').expect("NAME=value"))
        .collect();
    load(args, |name| env.get(name).map(OsString::from))
}

fn run(args: &str, env: &[&str]) -> Settings {
    match start(args, env) {
        Ok(Command::Run(settings)) => settings,
        other => panic!("{args} {env:?}: {other:?}"),
    }
}

fn printed(args: &str, env: &[&str]) -> String {
    match start(args, env) {
        Ok(Command::Print(text)) => text,
        other => panic!("{args} {env:?}: {other:?}"),
    }
}

/// The lines of the one error, without its first.
fn faults(args: &str, env: &[&str]) -> Vec<String> {
    let faults = start(args, env).expect_err("a fault");
    let text = faults.to_string();
    let (head, lines) = text.split_once('\n').expect("a heading");
    let lines: Vec<_> = lines.lines().map(|line| line.trim().to_owned()).collect();
    let heading = match lines.len() {
        1 => "1 setting is wrong:".to_owned(),
        n => format!("{n} settings are wrong:"),
    };
    assert_eq!(head, heading);
    assert_eq!(lines.len(), faults.iter().count());
    lines
}

fn fault(args: &str, env: &[&str]) -> String {
    let mut lines = faults(args, env);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn without_flags_and_variables_the_documented_defaults_hold() {
    assert_eq!(
        run("", &[]),
        Settings {
            glasses: Policy::default(),
            tpa: Policy::default(),
            stats_interval: Micros::from_secs(60),
            handshake_timeout: Micros::from_secs(10),
            drain_delay: Micros::ZERO,
            drain: Micros::from_secs(5),
            listen_addr: addr("127.0.0.1:8002"),
            allow_unauthenticated: false,
            reuse_port: false,
            max_connections: None,
            max_message_bytes: 1 << 20,
            max_pending_bytes: 4 << 20,
            max_buffered_bytes: 1 << 30,
            stale_closes_per_second: 5_000,
            log_level: LevelFilter::Info,
        }
    );
}

#[test]
fn every_setting_reaches_its_field_from_the_flag_and_from_the_variable() {
    let given = [
        ("LISTEN_ADDR", "[::]:9000"),
        ("ALLOW_UNAUTHENTICATED", "true"),
        ("HEARTBEAT_INTERVAL_MS", "1001"),
        ("CONNECTION_TIMEOUT_MS", "3001"),
        ("STATS_INTERVAL_MS", "501"),
        ("MAX_CONNECTIONS", "77"),
        ("MAX_MESSAGE_BYTES", "70000"),
        ("LOG_LEVEL", "DEBUG"),
        ("DRAIN_MS", "0"),
        ("DRAIN_DELAY_MS", "12"),
        ("GLASSES_HEARTBEAT_INTERVAL_MS", "1002"),
        ("GLASSES_CONNECTION_TIMEOUT_MS", "3002"),
        ("TPA_HEARTBEAT_INTERVAL_MS", "1003"),
        ("TPA_CONNECTION_TIMEOUT_MS", "3003"),
        ("HEARTBEAT_MODE", "idle"),
        ("HANDSHAKE_TIMEOUT_MS", "601"),
        ("CLOSE_TIMEOUT_MS", "701"),
        ("MAX_PENDING_BYTES", "70014"),
        ("MAX_BUFFERED_BYTES", "70014"),
        ("STALE_CLOSES_PER_SECOND", "0"),
        ("REUSE_PORT", "1"),
    ];
    assert_eq!(
        given.map(|(name, _)| name).as_slice(),
        SETTINGS.iter().map(|s| s.name).collect::<Vec<_>>(),
        "each setting of the table is here"
    );
    let policy = |interval, timeout| Policy {
        heartbeat_interval: Micros::from_millis(interval),
        connection_timeout: Micros::from_millis(timeout),
        close_timeout: Micros::from_millis(701),
        mode: HeartbeatMode::Idle,
        ..Policy::default()
    };
    let wanted = Settings {
        glasses: policy(1_002, 3_002),
        tpa: policy(1_003, 3_003),
        stats_interval: Micros::from_millis(501),
        handshake_timeout: Micros::from_millis(601),
        drain_delay: Micros::from_millis(12),
        drain: Micros::ZERO,
        listen_addr: addr("[::]:9000"),
        allow_unauthenticated: true,
        reuse_port: true,
        max_connections: Some(77),
        max_message_bytes: 70_000,
        max_pending_bytes: 70_014,
        max_buffered_bytes: 70_014,
        stale_closes_per_second: 0,
        log_level: LevelFilter::Debug,
    };
    let variables = given.map(|(name, value)| format!("{name}={value}"));
    let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
    assert_eq!(run("", &variables), wanted);

    let flag_of = |name: &str| name.to_lowercase().replace('_', "-");
    let spaced = given.map(|(name, value)| format!("--{} {value}", flag_of(name)));
    assert_eq!(run(&spaced.join(" "), &[]), wanted);
    let joined = given.map(|(name, value)| format!("--{}={value}", flag_of(name)));
    assert_eq!(run(&joined.join(" "), &[]), wanted);

    for setting in SETTINGS {
        assert_eq!(setting.flag(), format!("--{}", flag_of(setting.name)));
    }
}

#[test]
fn the_flag_wins_then_the_variable_then_the_default() {
    let env = ["DRAIN_MS=1", "LOG_LEVEL="];
    assert_eq!(run("--drain-ms 2", &env).drain, Micros::from_millis(2));
    assert_eq!(run("", &env).drain, Micros::from_millis(1));
    assert_eq!(
        run("", &env).log_level,
        LevelFilter::Info,
        "an empty variable is unset"
    );
    assert_eq!(
        run("--drain-ms 2 --drain-ms=3", &[]).drain,
        Micros::from_millis(3),
        "the last one counts"
    );
    assert_eq!(
        run("--drain-ms 2", &["DRAIN_MS=nonsense"]).drain,
        Micros::from_millis(2),
        "an overruled variable is not looked at"
    );
    run("", &["HEARTBEAT_INTERVAL=5", "PULSEGATE_X=y", "PATH=/bin"]);
}

#[test]
fn a_class_has_the_general_value_until_it_has_its_own() {
    let env = ["HEARTBEAT_INTERVAL_MS=2000", "CONNECTION_TIMEOUT_MS=6000"];
    let settings = run("--tpa-connection-timeout-ms 9000", &env);
    let of = |p: Policy| (p.heartbeat_interval, p.connection_timeout);
    let secs = Micros::from_secs;
    assert_eq!(of(settings.glasses), (secs(2), secs(6)));
    assert_eq!(of(settings.tpa), (secs(2), secs(9)));
    assert_eq!(settings.glasses.validate(), Ok(()));
    assert_eq!(settings.tpa.validate(), Ok(()));
}

#[test]
fn a_switch_alone_is_on() {
    assert!(run("--reuse-port", &[]).reuse_port);
    assert!(run("--reuse-port --drain-ms 1", &["REUSE_PORT=0"]).reuse_port);
    for (value, on) in [("0", false), ("1", true), ("false", false), ("TRUE", true)] {
        assert_eq!(run(&format!("--reuse-port {value}"), &[]).reuse_port, on);
        assert_eq!(run(&format!("--reuse-port={value}"), &[]).reuse_port, on);
        let variable = format!("REUSE_PORT={value}");
        assert_eq!(run("", &[&variable]).reuse_port, on);
    }
}

#[test]
fn pending_bytes_follow_the_message_limit() {
    let pending = |message: &str| run(message, &[]).max_pending_bytes;
    assert_eq!(pending("--max-message-bytes 2097152"), 4 << 20);
    assert_eq!(pending("--max-message-bytes 2097153"), (4 << 20) + 2);
    assert_eq!(pending("--max-message-bytes 67108864"), 128 << 20);
}

#[test]
fn every_kind_of_bad_value_is_told_with_what_is_allowed() {
    let millis = "must be a whole number of milliseconds from 10 to 86400000";
    for value in [
        "abc", "0", "9", "-5", "1.5", "15s", " 20", "1_000", "86400001",
    ] {
        assert_eq!(
            fault("", &[&format!("STATS_INTERVAL_MS={value}")]),
            format!("STATS_INTERVAL_MS={value:?} (env): {millis}")
        );
    }
    assert_eq!(
        fault("--stats-interval-ms -5", &[]),
        format!("STATS_INTERVAL_MS=\"-5\" (flag): {millis}")
    );
    assert_eq!(
        fault("--stats-interval-ms=", &["STATS_INTERVAL_MS=500"]),
        format!("STATS_INTERVAL_MS=\"\" (flag): {millis}")
    );
    assert_eq!(
        fault("--max-connections 99999999999999999999999", &[]),
        "MAX_CONNECTIONS=\"99999999999999999999999\" (flag): \
         must be a whole number of connections from 1 to 10000000"
    );
    assert_eq!(
        fault("", &["MAX_CONNECTIONS=0"]),
        "MAX_CONNECTIONS=\"0\" (env): must be a whole number of connections from 1 to 10000000"
    );
    assert_eq!(
        fault("--log-level=loud", &[]),
        "LOG_LEVEL=\"loud\" (flag): must be error, warn, info, debug or trace"
    );
    assert_eq!(
        fault("", &["HEARTBEAT_MODE=never"]),
        "HEARTBEAT_MODE=\"never\" (env): must be always or idle"
    );
    assert_eq!(
        fault("--reuse-port yes", &[]),
        "REUSE_PORT=\"yes\" (flag): must be 0, 1, false or true"
    );
    for value in ["localhost:8002", "127.0.0.1", ":8002", "127.0.0.1:65536"] {
        let fault = fault("", &[&format!("LISTEN_ADDR={value}")]);
        let told = format!("LISTEN_ADDR={value:?} (env): must be an IP address with a port");
        assert!(fault.starts_with(&told), "{fault}");
    }
    assert_eq!(
        fault("", &["STATS_INTERVAL_MS=5\nLOG_LEVEL=x"]),
        format!("STATS_INTERVAL_MS=\"5\\nLOG_LEVEL=x\" (env): {millis}"),
        "one fault is one line"
    );
}

#[test]
fn the_command_line_itself_can_be_wrong() {
    assert_eq!(
        fault("--heartbeat-intervall-ms 5000", &[]),
        "\"--heartbeat-intervall-ms\" (flag): is unknown; --help lists all flags"
    );
    assert_eq!(
        fault("--jwt-secret=hunter2", &[]),
        "\"--jwt-secret\" (flag): is unknown; --help lists all flags",
        "what may be a secret is not repeated"
    );
    assert_eq!(
        fault("-p8002", &[]),
        "\"-p\" (flag): is unknown; --help lists all flags"
    );
    assert_eq!(
        fault("--HEARTBEAT_INTERVAL_MS=5000", &[]),
        "\"--HEARTBEAT_INTERVAL_MS\" (flag): is unknown; --help lists all flags"
    );
    let no_value = "--drain-ms (flag): has no value; \
                    it must be a whole number of milliseconds from 0 to 86400000";
    assert_eq!(fault("--drain-ms", &[]), no_value);
    assert_eq!(fault("--drain-ms --check", &[]), no_value);
    assert_eq!(
        fault("--check=yes", &[]),
        "--check=\"yes\" (flag): takes no value"
    );
    for args in ["start", "-- start", "--drain-ms 5 start", "--check start"] {
        assert_eq!(
            fault(args, &[]),
            "\"start\" (argument): belongs to no flag; --help lists all flags"
        );
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_utf8_is_told_and_not_fatal() {
    use std::os::unix::ffi::OsStringExt;
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let args = [
        text(b"--log-level=in\xfffo"),
        text(b"--b\xffd"),
        text(b"--"),
        text(b"\xff"),
    ];
    let env = |name: &str| (name == "DRAIN_MS").then(|| text(b"1\xff0"));
    let faults = load(args, env).expect_err("four faults").to_string();
    assert_eq!(
        faults,
        "4 settings are wrong:\n  \
         \"--b\u{fffd}d\" (flag): is unknown; --help lists all flags\n  \
         \"\u{fffd}\" (argument): belongs to no flag; --help lists all flags\n  \
         LOG_LEVEL=\"in\u{fffd}fo\" (flag): must be error, warn, info, debug or trace\n  \
         DRAIN_MS=\"1\u{fffd}0\" (env): must be a whole number of milliseconds from 0 to 86400000"
    );
}

#[test]
fn a_timeout_must_be_above_its_interval_in_each_class() {
    assert_eq!(
        fault("", &["CONNECTION_TIMEOUT_MS=15000"]),
        "CONNECTION_TIMEOUT_MS=\"15000\" (env): \
         must be more than HEARTBEAT_INTERVAL_MS, which is 15000 (default)"
    );
    assert_eq!(
        fault("--heartbeat-interval-ms 50000", &[]),
        "CONNECTION_TIMEOUT_MS=\"45000\" (default): \
         must be more than HEARTBEAT_INTERVAL_MS, which is 50000 (flag)",
        "both classes inherit it: one fault"
    );
    assert_eq!(
        fault("--tpa-heartbeat-interval-ms 50000", &[]),
        "CONNECTION_TIMEOUT_MS=\"45000\" (default): \
         must be more than TPA_HEARTBEAT_INTERVAL_MS, which is 50000 (flag)"
    );
    assert_eq!(
        fault("", &["GLASSES_CONNECTION_TIMEOUT_MS=10000"]),
        "GLASSES_CONNECTION_TIMEOUT_MS=\"10000\" (env): \
         must be more than HEARTBEAT_INTERVAL_MS, which is 15000 (default)"
    );
    let own = "--glasses-heartbeat-interval-ms 20 --glasses-connection-timeout-ms 20 \
               --tpa-heartbeat-interval-ms 30 --tpa-connection-timeout-ms 29";
    assert_eq!(faults(own, &[]).len(), 2);
    // Nobody uses the general pair here, so nothing is wrong with it.
    run(
        "--heartbeat-interval-ms 50000 --glasses-heartbeat-interval-ms 10 \
         --tpa-heartbeat-interval-ms 10",
        &[],
    );
    // A value that is wrong by itself does not make others wrong.
    assert!(fault("--heartbeat-interval-ms 0", &[]).starts_with("HEARTBEAT_INTERVAL_MS=\"0\""));
    assert_eq!(
        run("--connection-timeout-ms 15001", &[]).tpa.validate(),
        Ok(())
    );
}

#[test]
fn limits_must_hold_what_they_are_limits_of() {
    assert_eq!(
        fault("--max-pending-bytes 1048589", &[]),
        "MAX_PENDING_BYTES=\"1048589\" (flag): \
         must be at least MAX_MESSAGE_BYTES, which is 1048576 (default), and 14 more"
    );
    run("--max-pending-bytes 1048590", &[]);
    assert_eq!(
        fault("--max-pending-bytes 65535 --max-message-bytes 125", &[]),
        "MAX_PENDING_BYTES=\"65535\" (flag): must be a whole number of bytes \
         from 65536 to 1073741824; at least MAX_MESSAGE_BYTES and 14 more"
    );
    run("--max-pending-bytes 65536 --max-message-bytes 125", &[]);
    assert_eq!(
        fault("--max-buffered-bytes 4194303", &[]),
        "MAX_BUFFERED_BYTES=\"4194303\" (flag): \
         must be at least MAX_PENDING_BYTES, which is 4194304 (default)"
    );
    assert_eq!(
        faults(
            "--max-message-bytes 2000000 --max-pending-bytes 100000 --max-buffered-bytes 90000",
            &[]
        )
        .len(),
        2
    );
    // The default of what waits follows the message; it is not a second fault.
    assert!(fault("--max-message-bytes 0", &[]).starts_with("MAX_MESSAGE_BYTES=\"0\""));
}

#[test]
fn other_machines_are_let_in_only_on_purpose() {
    for open in [
        "0.0.0.0:8002",
        "[::]:8002",
        "192.168.1.5:0",
        "[::ffff:10.0.0.1]:1",
    ] {
        let listen = format!("--listen-addr {open}");
        let fault = fault(&listen, &[]);
        assert!(
            fault.starts_with(&format!(
                "LISTEN_ADDR={open:?} (flag): must be a loopback address"
            )),
            "{fault}"
        );
        assert!(fault.contains("ALLOW_UNAUTHENTICATED must be 1"), "{fault}");
        let settings = run(&listen, &["ALLOW_UNAUTHENTICATED=1"]);
        assert_eq!(settings.listen_addr, addr(open));
        assert!(settings.allow_unauthenticated);
    }
    for local in [
        "127.0.0.1:0",
        "127.9.9.9:1",
        "[::1]:8002",
        "[::ffff:127.0.0.1]:1",
    ] {
        run(&format!("--listen-addr {local}"), &[]);
    }
    assert!(
        fault("--listen-addr 0.0.0.0:1 --allow-unauthenticated maybe", &[])
            .starts_with("ALLOW_UNAUTHENTICATED=\"maybe\""),
        "what was meant is not known: one fault"
    );
}

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
  \"--frobnicate\" (flag): is unknown; --help lists all flags
  \"leftover\" (argument): belongs to no flag; --help lists all flags
  --max-message-bytes (flag): has no value; it must be a whole number of bytes from 125 to 67108864
  --check=\"1\" (flag): takes no value
  \"-q\" (flag): is unknown; --help lists all flags
  STATS_INTERVAL_MS=\"x\" (flag): must be a whole number of milliseconds from 10 to 86400000
  HEARTBEAT_MODE=\"sometimes\" (env): must be always or idle
  REUSE_PORT=\"2\" (env): must be 0, 1, false or true
  LISTEN_ADDR=\"0.0.0.0:80\" (flag): must be a loopback address, or ALLOW_UNAUTHENTICATED must be 1: \
         whoever reaches any other address could connect as anybody
  CONNECTION_TIMEOUT_MS=\"20000\" (env): must be more than HEARTBEAT_INTERVAL_MS, which is 30000 (flag)
  MAX_BUFFERED_BYTES=\"65536\" (env): must be at least MAX_PENDING_BYTES, which is 4194304 (default)"
    );
    assert!(error.iter().any(|fault| matches!(
        fault,
        Fault::Value { name: "HEARTBEAT_MODE", origin: Origin::Variable, value, .. }
            if value == "sometimes"
    )));
}

#[test]
fn check_only_checks() {
    assert_eq!(
        start("--check", &["DRAIN_MS=7"]),
        Ok(Command::Check(run("", &["DRAIN_MS=7"])))
    );
    assert_eq!(faults("--check", &["DRAIN_MS=x", "LOG_LEVEL=x"]).len(), 2);
}

#[test]
fn the_printed_settings_say_where_they_come_from_and_can_be_read_back() {
    let env = ["HEARTBEAT_INTERVAL_MS=2000", "REUSE_PORT=true"];
    let args = "--tpa-heartbeat-interval-ms 3000 --log-level WARN";
    let text = printed(&format!("--print-config {args}"), &env);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), SETTINGS.len());
    for line in [
        "LISTEN_ADDR=127.0.0.1:8002 # default",
        "HEARTBEAT_INTERVAL_MS=2000 # env",
        "REUSE_PORT=1 # env",
        "LOG_LEVEL=warn # flag",
        "TPA_HEARTBEAT_INTERVAL_MS=3000 # flag",
        "GLASSES_HEARTBEAT_INTERVAL_MS=2000 # default: HEARTBEAT_INTERVAL_MS",
        "MAX_CONNECTIONS= # default: what the limit of file descriptors allows",
        "MAX_PENDING_BYTES=4194304 # default: 4194304, or twice MAX_MESSAGE_BYTES if that is more",
    ] {
        assert!(lines.contains(&line), "{line}\n{text}");
    }
    let again: Vec<&str> = lines
        .iter()
        .map(|line| line.split_once(" # ").expect("an origin").0)
        .collect();
    assert_eq!(run("", &again), run(args, &env));
    assert_eq!(faults("--print-config", &["DRAIN_MS=x"]).len(), 1);
}

#[test]
fn help_and_version_are_given_whatever_else_is_wrong() {
    let help = printed("--nonsense --help", &["DRAIN_MS=x"]);
    assert_eq!(help, printed("-h", &[]));
    let advanced = help.find("Advanced settings:").expect("a heading");
    assert!(help.find("Basic settings:").expect("a heading") < advanced);
    for setting in SETTINGS {
        let at = help
            .find(&format!("  {} <", setting.flag()))
            .expect(setting.name);
        assert_eq!(
            at < advanced,
            setting.audience == Audience::Basic,
            "{}",
            setting.name
        );
        assert!(help.contains(setting.help) && help.contains(&setting.allowed()));
    }
    let version = format!("pulsegate {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(printed("--version --check", &[]), version);
    assert_eq!(printed("-V", &[]), version);
}

#[test]
fn the_table_is_fit_to_be_shown() {
    let basic = SETTINGS.partition_point(|s| s.audience == Audience::Basic);
    assert!(
        SETTINGS[basic..]
            .iter()
            .all(|s| s.audience == Audience::Advanced)
    );
    for (at, setting) in SETTINGS.iter().enumerate() {
        let name = setting.name;
        assert!(
            !SETTINGS[..at].iter().any(|other| other.name == name),
            "{name} twice"
        );
        assert!(
            name.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
            "{name}"
        );
        assert!(
            setting.help.ends_with('.') && !setting.help.contains(". "),
            "{name}"
        );
        if let Kind::Number { least, most, .. } = setting.kind {
            assert!(least < most, "{name}");
        }
        if let Fallback::Of(general) = setting.default {
            assert!(name.ends_with(general), "{name}");
        }
        assert!(
            !setting.allowed().contains('|') && !setting.help.contains('|'),
            "{name}"
        );
    }
}

#[test]
fn the_start_line_describes_every_setting_that_holds() {
    let mut settings = run("--reuse-port --log-level=trace", &[]);
    assert!(settings.describe().contains(" max_connections=unknown "));
    settings.max_connections = Some(1_000);
    let line = settings.describe();
    let pairs: HashMap<_, _> = line
        .split(' ')
        .map(|p| p.split_once('=').unwrap())
        .collect();
    for setting in SETTINGS {
        let general = matches!(
            setting.name,
            "HEARTBEAT_INTERVAL_MS" | "CONNECTION_TIMEOUT_MS"
        );
        assert_eq!(
            pairs.contains_key(setting.key().as_str()),
            !general,
            "{}",
            setting.name
        );
    }
    assert_eq!(pairs["max_connections"], "1000");
    assert_eq!(pairs["tpa_connection_timeout_ms"], "45000");
    assert_eq!(pairs["log_level"], "trace");
    assert_eq!(pairs["reuse_port"], "1");
}

/// Set `UPDATE_DOCS=1` to write the table into the documentation instead.
#[test]
fn the_documentation_has_the_table() {
    const BEGIN: &str = "<!-- settings:begin -->\n";
    const END: &str = "<!-- settings:end -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(&path).expect("docs/operations.md");
    let (before, rest) = page.split_once(BEGIN).expect("the mark of the beginning");
    let (section, after) = rest.split_once(END).expect("the mark of the end");
    let wanted = format!("\n{}\n", markdown_table());
    if std::env::var_os("UPDATE_DOCS").is_some_and(|v| v == "1") {
        fs::write(&path, [before, BEGIN, &wanted, END, after].concat())
            .expect("docs/operations.md");
    } else {
        assert_eq!(
            section, wanted,
            "run UPDATE_DOCS=1 cargo test --test config"
        );
    }
}
