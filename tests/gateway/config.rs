//! The settings from an operator's view: the table, the precedence of sources, faults and their
//! messages, and what is printed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use log::LevelFilter;
use pulsegate::config::{
    Audience, CliAction, Fallback, ResourceLimits, SETTINGS, Secret, SettingChange, SettingFault,
    SettingFaults, Settings, ValueKind, ValueOrigin, check_policy, load, markdown_table,
};
use pulsegate::gateway::{
    AcceptedSubprotocols, Admission, AppRegistry, Classes, ProxyProtocol, RELAY_CLASSES,
    RelaySettings, ReplayLimits, Subprotocols, WebOrigin,
};
use pulsegate::health::{HeartbeatMode, Policy};
use pulsegate::side::{AlertSettings, MemoryLimit, WebhookUrl};
use pulsegate::time::Micros;

/// Starts the program with `args`, separated by spaces, and `env`, `NAME=value` pairs.
fn start(args: &str, env: &[&str]) -> Result<CliAction, SettingFaults> {
    let args = args.split_whitespace().map(OsString::from);
    let env: HashMap<&str, &str> = env
        .iter()
        .map(|pair| pair.split_once('=').expect("NAME=value"))
        .collect();
    load(args, |name| env.get(name).map(OsString::from))
}

fn run(args: &str, env: &[&str]) -> Settings {
    match start(args, env) {
        Ok(CliAction::Run(settings)) => settings,
        other => panic!("{args} {env:?}: {other:?}"),
    }
}

fn printed(args: &str, env: &[&str]) -> String {
    match start(args, env) {
        Ok(CliAction::Print(text)) => text,
        other => panic!("{args} {env:?}: {other:?}"),
    }
}

/// Returns the lines of the error, without its first.
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

/// A folder for the files of one test; removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("pulsegate-config-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder");
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), content).expect("a file");
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn only(names: &[&str]) -> AcceptedSubprotocols {
    AcceptedSubprotocols::Only(names.iter().map(|name| Box::from(*name)).collect())
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The classes of the gateway.
fn classes() -> Classes {
    Classes::new(RELAY_CLASSES)
}

#[test]
fn without_flags_and_variables_the_documented_defaults_hold() {
    let mut settings = run("", &[]);
    let read = settings.clone();
    settings.glasses = Policy::default();
    settings.app = Policy {
        first_message_timeout: Some(Micros::from_secs(10)),
        first_message_bytes: Some(4 * 1024),
        ..Policy::default()
    };
    settings.stats_interval = Micros::from_secs(60);
    settings.handshake_timeout = Micros::from_secs(10);
    settings.drain_delay = Micros::ZERO;
    settings.drain = Micros::from_secs(1);
    settings.listen_addr = addr("127.0.0.1:8002");
    settings.allow_unauthenticated = false;
    settings.reuse_port = false;
    settings.admin_addr = Some(addr("127.0.0.1:9002"));
    settings.admin_token = None;
    settings.auth_jwt_secret = None;
    settings.apps = None;
    settings.app_admission = Admission::Started;
    settings.allowed_origins = vec![];
    settings.glasses_grace = Micros::from_secs(60);
    settings.app_grace = Micros::from_secs(15);
    settings.replay = ReplayLimits {
        max_messages: 256,
        max_bytes: 256 << 10,
        max_age: Micros::from_secs(30),
    };
    settings.replay_skip = ["VAD", "location_update", "head_position"]
        .map(Box::from)
        .to_vec();
    settings.replay_unconfirmed = false;
    settings.flapping_limit = 15;
    settings.subprotocols = Default::default();
    settings.app_websocket_url = None;
    settings.webhook_timeout = Micros::from_secs(10);
    settings.webhook_allow = None;
    settings.state_file = None;
    settings.alerts = AlertSettings::default();
    settings.proxy_protocol = ProxyProtocol::Off;
    settings.trusted_proxies = vec![];
    settings.max_connections = None;
    settings.max_head_bytes = 16 << 10;
    settings.max_message_bytes = 1 << 20;
    settings.max_pending_bytes = 4 << 20;
    settings.admin_hosts = Vec::new();
    settings.jwt_leeway = Micros::from_secs(5);
    settings.slow_after = Micros::from_secs(1);
    settings.max_buffered_bytes = None;
    settings.stale_closes_per_second = 5_000;
    settings.log_level = LevelFilter::Info;
    settings.config_file = None;
    assert_eq!(read, settings);
    assert_eq!(read.relay_settings(), RelaySettings::default());
    assert!(read.credentials().is_open());
}

/// Every setting, in the order of the table, with a value that is not the default.
const GIVEN: &[(&str, &str)] = &[
    ("CONFIG_FILE", "/dev/null/settings.toml"),
    ("LISTEN_ADDR", "[::]:9000"),
    ("ALLOW_UNAUTHENTICATED", "true"),
    ("AUTH_JWT_SECRET", SECRET),
    ("AUTH_JWT_SECRET_FILE", "/dev/null/secret"),
    ("APPS_FILE", "/dev/null/apps.json"),
    ("APP_ADMISSION", "KEY"),
    (
        "ALLOWED_ORIGINS",
        "https://App.example.org:443,http://localhost:3000,file://",
    ),
    ("ADMIN_ADDR", "[::]:9003"),
    ("ADMIN_TOKEN", TOKEN),
    ("ADMIN_TOKEN_FILE", "/dev/null/token"),
    ("HEARTBEAT_INTERVAL_MS", "1001"),
    ("CONNECTION_TIMEOUT_MS", "3001"),
    ("STATS_INTERVAL_MS", "501"),
    ("MAX_CONNECTIONS", "77"),
    ("MAX_MESSAGE_BYTES", "70000"),
    ("LOG_LEVEL", "DEBUG"),
    ("LOG_FORMAT", "JSON"),
    ("DRAIN_MS", "0"),
    ("GLASSES_GRACE_MS", "0"),
    ("APP_GRACE_MS", "1"),
    (
        "APP_WEBSOCKET_URL",
        "wss://gateway.example.org/gate/app-ws?x=1",
    ),
    ("STATE_FILE", "/dev/null/state"),
    ("ALERTS", "Off"),
    ("ALERT_WEBHOOK_URL", ALERT_URL),
    ("DRAIN_DELAY_MS", "12"),
    ("GLASSES_HEARTBEAT_INTERVAL_MS", "1002"),
    ("GLASSES_CONNECTION_TIMEOUT_MS", "3002"),
    ("APP_HEARTBEAT_INTERVAL_MS", "1003"),
    ("APP_CONNECTION_TIMEOUT_MS", "3003"),
    ("APP_INIT_TIMEOUT_MS", "801"),
    ("HEARTBEAT_MODE", "idle"),
    ("GLASSES_SUBPROTOCOLS", "v2.glasses, v1.glasses"),
    ("GLASSES_SUBPROTOCOL_REQUIRED", "true"),
    ("APP_SUBPROTOCOLS", "apps"),
    ("APP_SUBPROTOCOL_REQUIRED", "1"),
    ("HANDSHAKE_TIMEOUT_MS", "601"),
    ("MAX_HEAD_BYTES", "1024"),
    ("CLOSE_TIMEOUT_MS", "701"),
    ("MAX_PENDING_BYTES", "70015"),
    ("SLOW_CONSUMER_MS", "1234"),
    ("MAX_BUFFERED_BYTES", "70020"),
    ("STALE_CLOSES_PER_SECOND", "0"),
    ("REPLAY_MAX_MESSAGES", "0"),
    ("REPLAY_MAX_BYTES", "0"),
    ("REPLAY_MAX_AGE_MS", "0"),
    ("REPLAY_SKIP", "VAD, transcription:en-US"),
    ("REPLAY_UNCONFIRMED", "On"),
    ("FLAPPING_LIMIT", "0"),
    ("WEBHOOK_TIMEOUT_MS", "901"),
    ("WEBHOOK_ALLOW", "203.0.113.0/24,::ffff:192.168.1.1"),
    ("REUSE_PORT", "1"),
    ("PROXY_PROTOCOL", "V2"),
    ("TRUSTED_PROXIES", "10.0.0.0/8,::ffff:192.168.1.1,fd00::1"),
    ("AUTH_JWT_LEEWAY_MS", "0"),
    ("ADMIN_HOSTS", "Gateway.example.org,pulsegate"),
    ("ALERT_INTERVAL_MS", "1011"),
    ("ALERT_WINDOW_MS", "1012"),
    ("ALERT_RESOLVE_MS", "0"),
    ("ALERT_REPEAT_MS", "1014"),
    ("ALERT_MIN_CONNECTIONS", "15"),
    ("ALERT_SUSPECTS_PERCENT", "16"),
    ("ALERT_SUSPECTS_FOR_MS", "17"),
    ("ALERT_STALE_PERCENT", "18"),
    ("ALERT_STALE_MIN", "19"),
    ("ALERT_STALE_FOR_MS", "20"),
    ("ALERT_MASS_DEATH", "21"),
    ("ALERT_MASS_DEATH_PERCENT", "22"),
    ("ALERT_MASS_DEATH_WINDOW_MS", "23"),
    ("ALERT_RTT_MS", "24"),
    ("ALERT_RTT_FOR_MS", "25"),
    ("ALERT_FLAPPING", "26"),
    ("ALERT_FLAPPING_FOR_MS", "27"),
    ("ALERT_APP_DOWN", "0"),
    ("ALERT_APP_DOWN_FOR_MS", "28"),
    ("ALERT_STALLS", "29"),
    ("ALERT_CAPACITY_PERCENT", "35"),
    ("ALERT_REFUSED", "36"),
    ("ALERT_FDS_PERCENT", "30"),
    ("ALERT_MEMORY_PERCENT", "31"),
    ("ALERT_LIMITS_FOR_MS", "32"),
    ("ALERT_STORM_PERCENT", "33"),
    ("ALERT_STORM_FOR_MS", "34"),
];

/// A URL that is secret, like a password.
const ALERT_URL: &str = "https://alerts.example.org/s3cret-path?x=1";

const TOKEN: &str = "s3cret-s3cret-s3cret";

/// The key that signs the tokens of glasses.
const SECRET: &str = "s3cret-of-tokens-of-glasses";

/// The secrets, each with the setting for its file.
const SECRETS: [(&str, &str); 2] = [
    ("AUTH_JWT_SECRET", "AUTH_JWT_SECRET_FILE"),
    ("ADMIN_TOKEN", "ADMIN_TOKEN_FILE"),
];

fn is_secret(name: &str) -> bool {
    name == "ALERT_WEBHOOK_URL" || SECRETS.iter().any(|(secret, _)| *secret == name)
}

/// Returns whether a value is the name of a file with content that matters.
fn is_path(name: &str) -> bool {
    let setting = SETTINGS.iter().find(|s| s.name == name);
    matches!(setting.expect("a setting").kind, ValueKind::Path)
}

#[test]
fn every_setting_reaches_its_field_from_the_flag_the_variable_and_the_file() {
    assert_eq!(
        GIVEN.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        SETTINGS.iter().map(|s| s.name).collect::<Vec<_>>(),
        "each setting of the table is here"
    );
    let given: Vec<_> = GIVEN.iter().filter(|(name, _)| !is_path(name)).collect();
    let policy = |interval, timeout| Policy {
        heartbeat_interval: Micros::from_millis(interval),
        connection_timeout: Micros::from_millis(timeout),
        close_timeout: Micros::from_millis(701),
        mode: HeartbeatMode::Idle,
        ..Policy::default()
    };
    let variables: Vec<String> = given.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
    let read = run("", &variables);
    let mut wanted = read.clone();
    wanted.glasses = policy(1_002, 3_002);
    wanted.app = Policy {
        first_message_timeout: Some(Micros::from_millis(801)),
        first_message_bytes: Some(4 * 1024),
        ..policy(1_003, 3_003)
    };
    wanted.stats_interval = Micros::from_millis(501);
    wanted.handshake_timeout = Micros::from_millis(601);
    wanted.drain_delay = Micros::from_millis(12);
    wanted.drain = Micros::ZERO;
    wanted.listen_addr = addr("[::]:9000");
    wanted.allow_unauthenticated = true;
    wanted.reuse_port = true;
    wanted.admin_addr = Some(addr("[::]:9003"));
    wanted.admin_hosts = ["gateway.example.org", "pulsegate"].map(Box::from).to_vec();
    wanted.jwt_leeway = Micros::ZERO;
    wanted.apps = None;
    wanted.app_admission = Admission::Key;
    wanted.allowed_origins = [
        "https://app.example.org",
        "http://localhost:3000",
        "file://",
    ]
    .map(|origin| WebOrigin::parse(origin).unwrap())
    .to_vec();
    wanted.glasses_grace = Micros::ZERO;
    wanted.app_grace = Micros::from_millis(1);
    wanted.replay = ReplayLimits {
        max_messages: 0,
        max_bytes: 0,
        max_age: Micros::ZERO,
    };
    wanted.replay_skip = ["VAD", "transcription:en-US"].map(Box::from).to_vec();
    wanted.replay_unconfirmed = true;
    wanted.flapping_limit = 0;
    wanted.subprotocols = [
        Subprotocols {
            accepted: only(&["v2.glasses", "v1.glasses"]),
            required: true,
        },
        Subprotocols {
            accepted: only(&["apps"]),
            required: true,
        },
    ];
    wanted.app_websocket_url = Some("wss://gateway.example.org/gate/app-ws?x=1".to_owned());
    wanted.webhook_timeout = Micros::from_millis(901);
    wanted.webhook_allow = Some(
        ["203.0.113.0/24", "192.168.1.1/32"]
            .map(|network| network.parse().unwrap())
            .to_vec(),
    );
    wanted.state_file = None;
    wanted.alerts = AlertSettings {
        on: false,
        webhook: Some(WebhookUrl::new(ALERT_URL)),
        interval: Micros::from_millis(1011),
        window: Micros::from_millis(1012),
        resolve: Micros::from_millis(0),
        repeat: Micros::from_millis(1014),
        min_connections: 15,
        suspects_percent: 16,
        suspects_for: Micros::from_millis(17),
        stale_percent: 18,
        stale_min: 19,
        stale_for: Micros::from_millis(20),
        mass_death: 21,
        mass_death_percent: 22,
        mass_death_window: Micros::from_millis(23),
        rtt_p99: Micros::from_millis(24),
        rtt_for: Micros::from_millis(25),
        flapping: 26,
        flapping_for: Micros::from_millis(27),
        app_down: false,
        app_down_for: Micros::from_millis(28),
        stalls: 29,
        capacity_percent: 35,
        refused: 36,
        capped_by_descriptors: false,
        fds_percent: 30,
        memory_percent: 31,
        limits_for: Micros::from_millis(32),
        storm_percent: 33,
        storm_for: Micros::from_millis(34),
    };
    wanted.proxy_protocol = ProxyProtocol::V2;
    wanted.trusted_proxies = ["10.0.0.0/8", "192.168.1.1/32", "fd00::1/128"]
        .map(|network| network.parse().unwrap())
        .to_vec();
    wanted.max_connections = Some(77);
    wanted.max_head_bytes = 1_024;
    wanted.max_message_bytes = 70_000;
    wanted.max_pending_bytes = 70_015;
    wanted.slow_after = Micros::from_millis(1_234);
    wanted.max_buffered_bytes = Some(70_020);
    wanted.stale_closes_per_second = 0;
    wanted.log_level = LevelFilter::Debug;
    wanted.log_json = true;
    assert_eq!(read, wanted);
    assert_eq!(read.admin_token.as_ref().map(Secret::expose), Some(TOKEN));
    let secret = read.auth_jwt_secret.as_ref();
    assert_eq!(secret.map(Secret::expose), Some(SECRET));
    assert_eq!(
        read.relay_settings(),
        RelaySettings {
            glasses_grace: wanted.glasses_grace,
            overlap: wanted.drain_delay + wanted.drain,
            app_grace: wanted.app_grace,
            replay: wanted.replay,
            replay_skip: wanted.replay_skip.clone(),
            replay_unconfirmed: true,
            flapping_limit: 0,
            subprotocols: wanted.subprotocols.clone(),
        }
    );

    let flag_of = |name: &str| format!("--{}", name.to_lowercase().replace('_', "-"));
    let secrets = [
        format!("AUTH_JWT_SECRET={SECRET}"),
        format!("ADMIN_TOKEN={TOKEN}"),
        format!("ALERT_WEBHOOK_URL={ALERT_URL}"),
    ];
    let secrets = secrets.each_ref().map(String::as_str);
    let flags = given.iter().filter(|(name, _)| !is_secret(name));
    for between in [" ", "="] {
        let flags = flags.clone().flat_map(|(name, value)| {
            let flag = flag_of(name) + between + value;
            // A value may contain a space.
            let split = if between == " " { 2 } else { 1 };
            flag.splitn(split, ' ')
                .map(OsString::from)
                .collect::<Vec<_>>()
        });
        let env: HashMap<_, _> = secrets.iter().filter_map(|s| s.split_once('=')).collect();
        let read = load(flags, |name| env.get(name).map(OsString::from));
        assert_eq!(read, Ok(CliAction::Run(wanted.clone())));
    }

    for setting in SETTINGS {
        let flag = (!is_secret(setting.name)).then(|| flag_of(setting.name));
        assert_eq!(setting.flag(), flag);
    }

    let folder = Folder::new();
    for lower in [false, true] {
        let lines = given.iter().map(|(name, value)| {
            let setting = SETTINGS.iter().find(|s| s.name == *name).unwrap();
            let name = if lower { &setting.key() } else { *name };
            match setting.kind {
                ValueKind::Number { .. } | ValueKind::Switch => format!("{name} = {value}\n"),
                _ => format!("{name} = \"{value}\"\n"),
            }
        });
        let file = folder.file("all.toml", lines.collect::<String>());
        let from_file = run(&format!("--config-file {file}"), &[]);
        assert_eq!(from_file.config_file.as_deref(), Some(Path::new(&file)));
        let changes = wanted.diff(&from_file);
        assert_eq!(changes.applied, []);
        assert_eq!(changes.needs_restart, ["CONFIG_FILE"]);
        let rest = |settings: &Settings| settings.describe().split_once(' ').unwrap().1.to_owned();
        assert_eq!(rest(&from_file), rest(&wanted));
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
    let settings = run("--app-connection-timeout-ms 9000", &env);
    let of = |p: Policy| (p.heartbeat_interval, p.connection_timeout);
    let secs = Micros::from_secs;
    assert_eq!(of(settings.glasses), (secs(2), secs(6)));
    assert_eq!(of(settings.app), (secs(2), secs(9)));
    assert_eq!(settings.glasses.validate(), Ok(()));
    assert_eq!(settings.app.validate(), Ok(()));
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
    let millis =
        "must be a whole number of milliseconds from 10 to 86400000, or with a unit (15s, 2m)";
    for value in [
        "abc", "0", "9", "-5", "1.5", "15x", " 20", "1_000", "86400001", "25h",
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
    for value in ["localhost:65536", "127.0.0.1", ":8002", "127.0.0.1:65536"] {
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
        "\"--heartbeat-intervall-ms\" (flag): is unknown; did you mean --heartbeat-interval-ms? \
         --help-all lists all flags"
    );
    assert_eq!(
        fault("--jwt-secret=hunter2", &[]),
        "\"--jwt-secret\" (flag): is unknown; did you mean the variable AUTH_JWT_SECRET? \
         --help-all lists all flags",
        "what may be a secret is not repeated"
    );
    assert_eq!(
        fault("-p8002", &[]),
        "\"-p\" (flag): is unknown; did you mean --listen-addr? --help-all lists all flags"
    );
    assert_eq!(
        fault("--HEARTBEAT_INTERVAL_MS=5000", &[]),
        "\"--HEARTBEAT_INTERVAL_MS\" (flag): is unknown; did you mean --heartbeat-interval-ms? \
         --help-all lists all flags"
    );
    for args in ["--port 8080", "--port=8080", "-p 8080"] {
        assert!(
            fault(args, &[]).contains("did you mean --listen-addr?"),
            "{args}"
        );
    }
    for args in ["--config /nowhere/x.toml", "-c /nowhere/x.toml"] {
        let told = fault(args, &[]);
        assert!(
            told.contains("CONFIG_FILE") && told.contains("/nowhere/x.toml"),
            "{told}"
        );
    }
    let no_value = "--drain-ms (flag): has no value; \
                    it must be a whole number of milliseconds from 0 to 86400000, or with a unit \
                    (15s, 2m)";
    assert_eq!(fault("--drain-ms", &[]), no_value);
    assert_eq!(fault("--drain-ms --check", &[]), no_value);
    assert_eq!(
        fault("--check=yes", &[]),
        "--check=\"yes\" (flag): takes no value"
    );
    for args in ["start", "-- start", "--drain-ms 5 start", "--check start"] {
        assert_eq!(
            fault(args, &[]),
            "\"start\" (argument): is neither a flag nor the value of one; --help-all lists all \
             flags"
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
        "4 settings are wrong:\n  \"--b\u{fffd}d\" (flag): is unknown; --help-all lists all \
         flags\n  \"\u{fffd}\" (argument): is neither a flag nor the value of one; --help-all \
         lists all flags\n  LOG_LEVEL=\"in\u{fffd}fo\" (flag): must be error, warn, info, debug or \
         trace\n  DRAIN_MS=\"1\u{fffd}0\" (env): must be a whole number of milliseconds from 0 to \
         86400000, or with a unit (15s, 2m)"
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
        fault("--app-heartbeat-interval-ms 50000", &[]),
        "CONNECTION_TIMEOUT_MS=\"45000\" (default): \
         must be more than APP_HEARTBEAT_INTERVAL_MS, which is 50000 (flag)"
    );
    assert_eq!(
        fault("", &["GLASSES_CONNECTION_TIMEOUT_MS=10000"]),
        "GLASSES_CONNECTION_TIMEOUT_MS=\"10000\" (env): \
         must be more than HEARTBEAT_INTERVAL_MS, which is 15000 (default)"
    );
    let own = "--glasses-heartbeat-interval-ms 20 --glasses-connection-timeout-ms 20 \
               --app-heartbeat-interval-ms 30 --app-connection-timeout-ms 29";
    assert_eq!(faults(own, &[]).len(), 2);
    // No class uses the general pair here, so it is no fault.
    run(
        "--heartbeat-interval-ms 50000 --glasses-heartbeat-interval-ms 10 \
         --app-heartbeat-interval-ms 10",
        &[],
    );
    // A value with a fault of its own causes no faults in others.
    assert!(fault("--heartbeat-interval-ms 0", &[]).starts_with("HEARTBEAT_INTERVAL_MS=\"0\""));
    assert_eq!(
        run("--connection-timeout-ms 15001", &[]).app.validate(),
        Ok(())
    );
}

#[test]
fn a_variable_that_was_renamed_is_a_fault() {
    let faults = faults("", &["TPA_GRACE_MS=1", "TPA_SUBPROTOCOLS=x"]);
    let was = |old, name| format!("{old} (env): was renamed; set {name} instead");
    assert_eq!(
        faults,
        [
            was("TPA_GRACE_MS", "APP_GRACE_MS"),
            was("TPA_SUBPROTOCOLS", "APP_SUBPROTOCOLS")
        ]
    );
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
        assert_eq!(
            fault("", &[&env("a,b c")]),
            format!(
                "{accepted}=\"a,b c\" (env): must be up to 16 subprotocols, separated by commas, \
                 each a token (RFC 9110) of up to 128 characters; or any, or none"
            )
        );
    }
    let folder = Folder::new();
    let file = folder.file("settings", "glasses_subprotocols = ['b', 'a']");
    let text = printed("--print-config", &[&format!("CONFIG_FILE={file}")]);
    assert!(
        text.contains("\nGLASSES_SUBPROTOCOLS=b,a # file\n"),
        "{text}"
    );
}

#[test]
fn limits_must_hold_what_they_are_limits_of() {
    assert_eq!(
        fault("--max-pending-bytes 1048585", &[]),
        "MAX_PENDING_BYTES=\"1048585\" (flag): must be at least 10 bytes more than \
         MAX_MESSAGE_BYTES, which is 1048576 (default)"
    );
    run("--max-pending-bytes 1048586", &[]);
    assert_eq!(
        fault("--max-pending-bytes 65535 --max-message-bytes 125", &[]),
        "MAX_PENDING_BYTES=\"65535\" (flag): must be a whole number of bytes from 65536 to \
         1073741824; at least 10 bytes more than MAX_MESSAGE_BYTES"
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
    // The default of the pending limit follows the message size; it is not a second fault.
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
        assert!(fault.contains("ALLOW_UNAUTHENTICATED is 1"), "{fault}");
        let settings = run(&listen, &["ALLOW_UNAUTHENTICATED=1"]);
        assert_eq!(settings.listen_addr, addr(open));
        assert!(settings.allow_unauthenticated);
    }
    let folder = Folder::new();
    let (secret, apps) = (folder.file("secret", SECRET), folder.file("apps", "[]"));
    for credentials in [
        format!("AUTH_JWT_SECRET={SECRET}"),
        format!("AUTH_JWT_SECRET_FILE={secret}"),
        format!("APPS_FILE={apps}"),
    ] {
        let settings = run("--listen-addr 0.0.0.0:1", &[&credentials]);
        assert!(!settings.allow_unauthenticated && !settings.credentials().is_open());
    }
    for unknown in [
        "AUTH_JWT_SECRET=short",
        "AUTH_JWT_SECRET_FILE=/none",
        "APPS_FILE=/none",
    ] {
        let told = fault("--listen-addr 0.0.0.0:1", &[unknown]);
        let name = unknown.split_once('=').unwrap().0;
        assert!(
            told.starts_with(name),
            "there were to be credentials: {told}"
        );
    }
    assert!(
        fault(
            "--listen-addr 0.0.0.0:1 --app-admission key",
            &["ALLOWED_ORIGINS=http://a"]
        )
        .starts_with("LISTEN_ADDR="),
        "what is no credential opens nothing"
    );
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

// ---- what the machine allows ----

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
AUTH_JWT_SECRET_FILE or APPS_FILE is set, or ALLOW_UNAUTHENTICATED is 1: otherwise every client \
that reaches this address could connect as any user
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
fn check_only_checks() {
    assert_eq!(
        start("--check", &["DRAIN_MS=7"]),
        Ok(CliAction::Check(run("", &["DRAIN_MS=7"])))
    );
    assert_eq!(faults("--check", &["DRAIN_MS=x", "LOG_LEVEL=x"]).len(), 2);
}

#[test]
fn the_printed_settings_say_where_they_come_from_and_can_be_read_back() {
    let env = ["HEARTBEAT_INTERVAL_MS=2000", "REUSE_PORT=true"];
    let args = "--app-heartbeat-interval-ms 3000 --log-level WARN";
    let text = printed(&format!("--print-config {args}"), &env);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), SETTINGS.len());
    for line in [
        "LISTEN_ADDR=127.0.0.1:8002 # default",
        "HEARTBEAT_INTERVAL_MS=2000 # env",
        "REUSE_PORT=1 # env",
        "LOG_LEVEL=warn # flag",
        "APP_HEARTBEAT_INTERVAL_MS=3000 # flag",
        "GLASSES_HEARTBEAT_INTERVAL_MS=2000 # default: HEARTBEAT_INTERVAL_MS",
        "#ADMIN_TOKEN= # default: none",
        "#ADMIN_TOKEN_FILE= # default: none",
        "ALLOWED_ORIGINS= # default: none",
        "APP_WEBSOCKET_URL= # default: ws://LISTEN_ADDR/app-ws",
        "REPLAY_SKIP=VAD,location_update,head_position # default",
        "REPLAY_UNCONFIRMED=off # default",
        "TRUSTED_PROXIES= # default: none",
        "MAX_CONNECTIONS= # default: what the limit of file descriptors allows",
        "MAX_BUFFERED_BYTES= # default: what memory allows",
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
    let basic = printed("--nonsense --help", &["DRAIN_MS=x"]);
    assert_eq!(basic, printed("-h", &[]));
    assert_eq!(basic, printed("help", &[]));
    assert!(basic.contains("Basic settings:") && !basic.contains("Advanced settings:"));
    assert!(basic.contains("--help-all"), "it says how to see all");
    let help = printed("--nonsense --help-all", &["DRAIN_MS=x"]);
    let advanced = help.find("Advanced settings:").expect("a heading");
    assert!(help.find("Basic settings:").expect("a heading") < advanced);
    for setting in SETTINGS {
        let head = setting.flag().unwrap_or(setting.name.to_owned());
        let at = help.find(&format!("  {head} <")).expect(setting.name);
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
    assert_eq!(printed("version", &[]), version);
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
            setting.help.ends_with('.') && setting.help.len() <= 300,
            "{name}"
        );
        if let ValueKind::Number { min, max, .. } = setting.kind {
            assert!(min < max, "{name}");
        }
        if let Fallback::SameAs(general) = setting.default {
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
    for key in ["max_connections", "max_buffered_bytes"] {
        let unknown = format!(" {key}=unknown ");
        assert!(settings.describe().contains(&unknown), "{key}");
    }
    settings.max_connections = Some(1_000);
    settings.max_buffered_bytes = Some(5_000_000);
    let line = settings.describe();
    // A value with spaces is in quotes.
    let words = "all but link-local and metadata addresses";
    assert!(line.contains(&format!(" webhook_allow=\"{words}\" ")));
    let line = line.replace(&format!("\"{words}\""), "words");
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
    assert_eq!(pairs["app_connection_timeout_ms"], "45000");
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
            "run UPDATE_DOCS=1 cargo test --all-features --test gateway config"
        );
    }
}

// ---- the file ----

/// Returns the faults of a file, without its path.
fn faults_of(content: impl AsRef<[u8]>) -> Vec<String> {
    let folder = Folder::new();
    let file = folder.file("settings.toml", content);
    let faults = faults("", &[&format!("CONFIG_FILE={file}")]);
    let file = format!("{file:?}");
    faults.iter().map(|f| f.replace(&file, "FILE")).collect()
}

fn fault_of(content: impl AsRef<[u8]>) -> String {
    let mut faults = faults_of(content);
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0)
}

#[test]
fn the_flag_wins_then_the_variable_then_the_file_then_the_default() {
    let folder = Folder::new();
    let file = folder.file("settings.toml", "drain_ms = 3");
    for given in 0..8 {
        let [flag, variable, in_file] = [1, 2, 4].map(|bit| given & bit != 0);
        let mut args = String::new();
        if flag {
            args += " --drain-ms 1";
        }
        if in_file {
            args += &format!(" --config-file {file}");
        }
        let env: &[&str] = if variable { &["DRAIN_MS=2"] } else { &[] };
        let wanted = match (flag, variable, in_file) {
            (true, _, _) => "DRAIN_MS=1 # flag",
            (false, true, _) => "DRAIN_MS=2 # env",
            (false, false, true) => "DRAIN_MS=3 # file",
            (false, false, false) => "DRAIN_MS=1000 # default",
        };
        let text = printed(&format!("--print-config {args}"), env);
        assert!(text.lines().any(|line| line == wanted), "{wanted}\n{text}");
        let millis = wanted.split(['=', ' ']).nth(1).unwrap().parse().unwrap();
        assert_eq!(run(&args, env).drain, Micros::from_millis(millis));
    }
    let other = folder.file("other.toml", "drain_ms = 4");
    let drain = |args: &str, env: &[&str]| run(args, env).drain;
    let variable = format!("CONFIG_FILE={file}");
    assert_eq!(drain("", &[&variable]), Micros::from_millis(3));
    assert_eq!(
        drain(&format!("--config-file={other}"), &[&variable]),
        Micros::from_millis(4)
    );
    assert_eq!(
        drain("", &[&variable, "DRAIN_MS="]),
        Micros::from_millis(3),
        "an empty variable is unset"
    );
    assert_eq!(
        drain("", &["CONFIG_FILE="]),
        Micros::from_secs(1),
        "and names no file"
    );
    let wrong = folder.file("wrong.toml", "drain_ms = 'x'\nlog_level = 'x'");
    run(
        &format!("--drain-ms 1 --config-file {wrong}"),
        &["LOG_LEVEL=warn"],
    );
    // A class inherits the value of the file.
    let general = folder.file("general.toml", "heartbeat_interval_ms = 2_000");
    let settings = run(&format!("--config-file {general}"), &[]);
    assert_eq!(settings.app.heartbeat_interval, Micros::from_secs(2));
}

#[test]
fn a_file_is_checked_and_printed_too() {
    let folder = Folder::new();
    let file = folder.file(
        "it's # one.toml",
        "trusted_proxies = ['10.0.0.1', '::1']\nLOG_LEVEL = 'Warn'\nreuse_port = true\n",
    );
    let args = |first: &str| [first, "--config-file", &file].map(OsString::from);
    let Ok(CliAction::Print(text)) = load(args("--print-config"), |_| None) else {
        panic!("no text");
    };
    let quoted = format!("CONFIG_FILE='{}' # flag", file.replace('\'', "'\\''"));
    for line in [
        quoted.as_str(),
        "TRUSTED_PROXIES=10.0.0.1/32,::1/128 # file",
        "LOG_LEVEL=warn # file",
        "REUSE_PORT=1 # file",
        "ADMIN_ADDR=127.0.0.1:9002 # default",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let Ok(CliAction::Check(settings)) = load(args("--check"), |_| None) else {
        panic!("not checked");
    };
    assert!(
        settings
            .describe()
            .starts_with(&format!("config_file={file:?} listen_addr="))
    );
    fs::write(&file, "reuse_port = 2").unwrap();
    let told = "1 setting is wrong:\n  REUSE_PORT=\"2\" (file): must be 0, 1, false or true";
    for ask in ["--check", "--print-config"] {
        let faults = load(args(ask), |_| None).expect_err("a fault");
        assert_eq!(faults.to_string(), told);
    }
}

#[test]
fn a_file_may_look_as_editors_leave_it() {
    for content in [
        "",
        "\n",
        "# nothing",
        "drain_ms = 7",
        "\u{feff}drain_ms = 7\r\nlog_level = \"info\"\r\n",
        "\u{feff}",
        "'drain_ms' = 0x7 # seven\n",
        "\"DRAIN_MS\" = +7\n",
    ] {
        let folder = Folder::new();
        let file = folder.file("settings.toml", content);
        let drain = run("", &[&format!("CONFIG_FILE={file}")]).drain;
        let wanted = if content.contains('7') { 7 } else { 1_000 };
        assert_eq!(drain, Micros::from_millis(wanted), "{content:?}");
    }
}

#[test]
fn times_with_a_unit_hold_from_a_flag_a_variable_and_the_file() {
    assert_eq!(run("--drain-ms 15s", &[]).drain, Micros::from_secs(15));
    assert_eq!(run("", &["DRAIN_MS=2m"]).drain, Micros::from_secs(120));
    assert_eq!(run("", &["DRAIN_MS=250"]).drain, Micros::from_millis(250));
    let folder = Folder::new();
    let file = folder.file("settings.toml", "drain_ms = '1500ms'\n");
    let read = run("", &[&format!("CONFIG_FILE={file}")]);
    assert_eq!(read.drain, Micros::from_millis(1_500));
    // The short flag of other programs.
    assert_eq!(run(&format!("-c {file}"), &[]).drain, read.drain);
    assert_eq!(run(&format!("--config {file}"), &[]).drain, read.drain);
    let listen = run("--listen-addr localhost:8080", &[]).listen_addr;
    assert_eq!(listen, ([127, 0, 0, 1], 8080).into());
}

#[test]
fn every_type_that_a_setting_does_not_have_is_told() {
    let millis = "a whole number of milliseconds from 0 to 86400000, or with a unit (15s, 2m)";
    for (value, is) in [
        ("'5000'", "a string"),
        ("''", "a string"),
        ("5.0", "a float"),
        ("true", "a boolean"),
        ("2026-11-24", "a date or time"),
        ("[5000]", "an array"),
        ("{ ms = 5000 }", "a table"),
    ] {
        assert_eq!(
            fault_of(format!("drain_ms = {value}")),
            format!("DRAIN_MS (file): is {is}; it must be {millis}")
        );
    }
    for value in ["-5", "86400001", "0x5265c01", "99999999999999999999"] {
        let shown = if value.starts_with("0x") {
            "86400001"
        } else {
            value
        };
        assert_eq!(
            fault_of(format!("drain_ms = {value}")),
            format!("DRAIN_MS=\"{shown}\" (file): must be {millis}")
        );
    }
    assert_eq!(
        fault_of("reuse_port = 'true'"),
        "REUSE_PORT (file): is a string; it must be 0, 1, false or true"
    );
    assert_eq!(
        fault_of("log_level = 3"),
        "LOG_LEVEL (file): is an integer; it must be error, warn, info, debug or trace"
    );
    let networks = "up to 256 IP addresses and CIDR blocks, separated by commas, such as \
                    192.168.1.1,10.0.0.0/8";
    for items in ["[1]", "['::1', 2]", "[['::1']]"] {
        assert_eq!(
            fault_of(format!("trusted_proxies = {items}")),
            format!(
                "TRUSTED_PROXIES (file): is an array with items that are not strings; it must be \
                 {networks}"
            )
        );
    }
    assert_eq!(
        fault_of("trusted_proxies = ['::1', 'proxy']"),
        format!("TRUSTED_PROXIES=\"::1,proxy\" (file): must be {networks}")
    );
    assert_eq!(
        fault_of("admin_token = 12345678901234567"),
        "ADMIN_TOKEN (file): is an integer; it must be 16 to 512 visible ASCII characters without \
         spaces; not as a flag, because other processes could read it"
    );
}

#[test]
fn what_is_no_setting_cannot_stand_in_the_file() {
    assert_eq!(
        fault_of("heartbeat_intervall_ms = 5"),
        "\"heartbeat_intervall_ms\" (file): is unknown; did you mean heartbeat_interval_ms? \
         --help-all lists all settings"
    );
    assert_eq!(
        fault_of("Drain_Ms = 5"),
        "\"Drain_Ms\" (file): is unknown; did you mean drain_ms? --help-all lists all settings"
    );
    for table in [
        "[limits]\ndrain_ms = 5",
        "limits.drain_ms = 5",
        "limits = {}",
    ] {
        assert_eq!(
            fault_of(table),
            "\"limits\" (file): is a table; settings must be outside of tables"
        );
    }
    assert_eq!(
        fault_of("DRAIN_MS = 5\ndrain_ms = 5"),
        "DRAIN_MS (file): is given twice, as DRAIN_MS and as drain_ms; remove one of them"
    );
    assert_eq!(
        fault_of("DRAIN_MS = 5\nDRAIN_MS = 5"),
        "CONFIG_FILE=FILE (env): must be a file in TOML; line 2, column 1: duplicate key"
    );
    assert_eq!(
        fault_of("config_file = '/etc/other.toml'"),
        "CONFIG_FILE (file): is not allowed in the file; set the flag or the variable"
    );
    let long = format!("\"{}\\nx\" = 5", "k".repeat(1_000));
    assert_eq!(
        fault_of(long),
        format!(
            "\"{}…\" (file): is unknown; --help-all lists all settings",
            "k".repeat(100)
        )
    );
}

#[test]
fn a_file_that_cannot_be_understood_is_told_without_its_lines() {
    for (content, line, column, what) in [
        ("drain_ms = 5\nlog_level = info\n", 2, 13, ""),
        ("\u{feff}drain_ms", 1, 9, "key with no value"),
        ("a = 1\r\n\r\ndrain_ms 5", 3, 10, ""),
        ("drain_ms = \"5", 1, 14, ""),
        ("äöü = 5", 1, 1, ""),
    ] {
        let fault = fault_of(content);
        let told = format!(
            "CONFIG_FILE=FILE (env): must be a file in TOML; line {line}, column {column}: "
        );
        assert!(
            fault.starts_with(&told) && fault.contains(what) && !fault.contains('\n'),
            "{content:?}: {fault}"
        );
    }
    for (content, line) in [
        (b"\xff".as_slice(), 1),
        (b"drain_ms = 5\n# caf\xe9\n", 2),
        (b"\xfe\xffd\0r\0", 1),
    ] {
        assert_eq!(
            fault_of(content),
            format!("CONFIG_FILE=FILE (env): must be a file in UTF-8; line {line} is not")
        );
    }
    assert_eq!(
        fault("--config-file=", &[]),
        "CONFIG_FILE=\"\" (flag): must be the path of a file; not in the file itself"
    );
    assert_eq!(
        fault("--config-file", &[]),
        "--config-file (flag): has no value; it must be the path of a file; not in the file itself"
    );
}

#[cfg(unix)]
#[test]
fn only_small_regular_files_are_read() {
    let folder = Folder::new();
    let told = |path: &str, must: &str| {
        let variable = format!("CONFIG_FILE={path}");
        let wanted = format!("CONFIG_FILE={path:?} (env): must be {must}");
        assert_eq!(fault("", &[&variable]), wanted);
    };
    let missing = "a readable file: No such file or directory (os error 2)";
    told(&folder.path("none"), missing);
    told(&folder.path(""), "a regular file");
    told("/dev/zero", "a regular file");
    let fifo = folder.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo").success());
    told(&fifo, "a regular file");
    for (name, target) in [("to-fifo", "fifo"), ("to-none", "none")] {
        symlink(target, folder.path(name)).expect("a link");
    }
    told(&folder.path("to-fifo"), "a regular file");
    told(&folder.path("to-none"), missing);

    let full = "#".repeat(1 << 20);
    run(
        "",
        &[&format!("CONFIG_FILE={}", folder.file("full", &full))],
    );
    told(
        &folder.file("more", full + "#"),
        "a file of at most 1048576 bytes",
    );

    // As Kubernetes mounts them: a link to a file below a link to a folder, which is replaced.
    for (data, drain) in [("..1", 1), ("..2", 2)] {
        fs::create_dir(folder.path(data)).expect("a folder");
        folder.file(&format!("{data}/settings"), format!("drain_ms = {drain}"));
        let _ = fs::remove_file(folder.path("..data"));
        symlink(data, folder.path("..data")).expect("a link");
        let _ = symlink("..data/settings", folder.path("settings"));
        let settings = run("", &[&format!("CONFIG_FILE={}", folder.path("settings"))]);
        assert_eq!(settings.drain, Micros::from_millis(drain));
    }
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

#[test]
fn one_message_tells_the_faults_of_the_file_with_all_others() {
    let folder = Folder::new();
    let file = folder.file(
        "settings.toml",
        "stats_interval_ms = 1\nLOG_LEVEL = 5\nunknown = 1\n[table]\n",
    );
    let told = faults(&format!("--config-file {file} -x"), &["DRAIN_MS=x"]);
    assert_eq!(
        told,
        [
            "\"-x\" (flag): is unknown; --help-all lists all flags",
            "\"table\" (file): is a table; settings must be outside of tables",
            "\"unknown\" (file): is unknown; --help-all lists all settings",
            "STATS_INTERVAL_MS=\"1\" (file): must be a whole number of milliseconds from 10 to \
             86400000, or with a unit (15s, 2m)",
            "LOG_LEVEL (file): is an integer; it must be error, warn, info, debug or trace",
            "DRAIN_MS=\"x\" (env): must be a whole number of milliseconds from 0 to 86400000, or \
             with a unit (15s, 2m)",
        ]
    );
}

// ---- the admin listener ----

/// Returns a secret from its field.
fn secret_of(settings: &Settings, name: &str) -> Option<String> {
    let secret = match name {
        "ADMIN_TOKEN" => &settings.admin_token,
        "AUTH_JWT_SECRET" => &settings.auth_jwt_secret,
        other => panic!("{other}"),
    };
    secret.as_ref().map(|secret| secret.expose().to_owned())
}

#[test]
fn a_secret_is_given_by_itself_or_in_a_file() {
    for (name, file_name) in SECRETS {
        let folder = Folder::new();
        let given = |args: &str, env: &[&str]| secret_of(&run(args, env), name);
        let variable = format!("{name}={TOKEN}");
        assert_eq!(given("", &[]), None);
        assert_eq!(given("", &[&variable]).as_deref(), Some(TOKEN));
        let file_flag = format!("--{}", file_name.to_lowercase().replace('_', "-"));
        for content in [
            TOKEN.to_owned(),
            format!("{TOKEN}\n"),
            format!("{TOKEN} \t\r\n\n"),
        ] {
            let file = folder.file("secret", content);
            let flag = format!("{file_flag} {file}");
            assert_eq!(given(&flag, &[]).as_deref(), Some(TOKEN));
            let key = file_name.to_lowercase();
            let settings = folder.file("settings", format!("{key} = '{file}'"));
            let flag = format!("--config-file {settings}");
            assert_eq!(given(&flag, &[]).as_deref(), Some(TOKEN));
        }
        let padded = format!("{TOKEN}{}", "\n".repeat((64 << 10) - TOKEN.len()));
        let file = folder.file("secret", &padded);
        let flag = format!("{file_flag} {file}");
        assert_eq!(given(&flag, &[]).as_deref(), Some(TOKEN));

        let told = |must: &str| format!("{file_name}={file:?} (flag): must be {must}");
        folder.file("secret", padded + "\n");
        assert_eq!(fault(&flag, &[]), told("a file of at most 65536 bytes"));
        let min = least_of(name);
        let with = spaces_of(name);
        let holds =
            &format!("a file that holds {min} to 512 visible ASCII characters {with} spaces");
        for content in [
            "",
            "\n",
            &"x".repeat(min - 1),
            "s3cret\ts3cret\ts3cret",
            "s3cret-s3cret-s3cr\u{e9}t",
            &"x".repeat(513),
        ] {
            folder.file("secret", content);
            assert_eq!(fault(&flag, &[]), told(holds), "{content:?}");
        }
        folder.file("secret", b"s3cret-s3cret-s3cret\xff");
        assert_eq!(fault(&flag, &[]), told(holds));
        folder.file("secret", TOKEN);
        assert_eq!(
            fault(&flag, &[&variable]),
            told(&format!("left out, because {name} is set as well (env)"))
        );
        fs::remove_file(&file).unwrap();
        let missing = "a readable file: No such file or directory (os error 2)";
        assert_eq!(fault(&flag, &[]), told(missing));
        assert_eq!(
            fault(&format!("{flag} --{} 0.0.0.0:1", addr_of(name)), &[]),
            told(missing),
            "there is to be a secret: one fault"
        );
    }
}

/// Returns the address setting that may be public only with this secret.
fn addr_of(secret: &str) -> &'static str {
    match secret {
        "ADMIN_TOKEN" => "admin-addr",
        "AUTH_JWT_SECRET" => "listen-addr",
        other => panic!("{other}"),
    }
}

/// Returns whether this secret may contain spaces: a token in a header field may not.
fn spaces_of(secret: &str) -> &'static str {
    match secret {
        "ADMIN_TOKEN" => "without",
        "AUTH_JWT_SECRET" => "or",
        other => panic!("{other}"),
    }
}

/// Returns the least number of characters of this secret.
fn least_of(secret: &str) -> usize {
    match secret {
        "ADMIN_TOKEN" => 16,
        "AUTH_JWT_SECRET" => 8,
        other => panic!("{other}"),
    }
}

/// `AUTH_JWT_SECRET=$SECRET` where `SECRET` is not set.
#[test]
fn a_credential_that_was_not_filled_in_does_not_open_the_gateway() {
    let folder = Folder::new();
    let (apps, secret) = (folder.file("apps", APPS), folder.file("secret", SECRET));
    let apps = format!("APPS_FILE={apps}");
    for (name, allowed) in [
        (
            "AUTH_JWT_SECRET",
            "8 to 512 visible ASCII characters or spaces",
        ),
        ("AUTH_JWT_SECRET_FILE", "the path of a file"),
        ("APPS_FILE", "the path of a file"),
    ] {
        let wanted = format!(
            "{name}=\"\" (env): must be {allowed}, or not be set at all: an empty variable is \
             probably a mistake"
        );
        let emptied = format!("{name}=");
        for args in ["", "--check", "--allow-unauthenticated"] {
            assert_eq!(fault(args, &[&emptied]), wanted);
        }
        if name != "APPS_FILE" {
            assert_eq!(
                fault("", &[&emptied, &apps]),
                wanted,
                "no glasses could connect"
            );
        }
    }
    // If the secret is given in another way, nothing is open.
    let file = format!("AUTH_JWT_SECRET_FILE={secret}");
    for given in [file, format!("AUTH_JWT_SECRET={SECRET}")] {
        for emptied in ["AUTH_JWT_SECRET=", "AUTH_JWT_SECRET_FILE=", "APPS_FILE="] {
            if !given.starts_with(emptied) {
                assert!(
                    !run("", &[emptied, &given]).credentials().is_open(),
                    "{emptied}"
                );
            }
        }
    }
    let settings = folder.file("toml", format!("auth_jwt_secret = {SECRET:?}\n"));
    assert!(
        !run(&format!("--config-file {settings}"), &["AUTH_JWT_SECRET="])
            .credentials()
            .is_open()
    );
}

/// `ADMIN_TOKEN=$TOKEN` where `TOKEN` is not set.
#[test]
fn a_token_that_was_not_filled_in_does_not_open_the_admin_listener() {
    let folder = Folder::new();
    let file = folder.file("token", TOKEN);
    for (name, allowed) in [
        (
            "ADMIN_TOKEN",
            "16 to 512 visible ASCII characters without spaces",
        ),
        ("ADMIN_TOKEN_FILE", "the path of a file"),
    ] {
        let emptied = format!("{name}=");
        for args in ["", "--check", "--admin-addr 127.0.0.1:0"] {
            let told = fault(args, &[&emptied]);
            let wanted = format!(
                "{name}=\"\" (env): must be {allowed}, or not be set at all: an empty variable is \
                 probably a mistake"
            );
            assert_eq!(told, wanted);
        }
        // Nothing is open if there is no admin listener, or if the token is given in another way.
        run("--admin-addr off", &[&emptied]);
        for given in [
            format!("ADMIN_TOKEN_FILE={file}"),
            format!("ADMIN_TOKEN={TOKEN}"),
        ] {
            if !given.starts_with(&emptied) {
                assert!(run("", &[&emptied, &given]).admin_token.is_some());
            }
        }
    }
    // If it is not set at all, nothing changes.
    assert!(run("", &[]).admin_token.is_none());
}

#[test]
fn networks_that_are_no_proxies_are_warned_of() {
    for (networks, warned) in [
        ("10.0.0.0/8,fc00::/7,192.0.2.1", &[][..]),
        ("0.0.0.0/0", &["0.0.0.0/0"]),
        ("10.0.0.1,::/0", &["::/0"]),
        (
            "0.0.0.0/1,128.0.0.0/1,::ffff:0:0/96",
            &["0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/0"],
        ),
        ("2000::/3", &["2000::/3"]),
    ] {
        let warnings = run("", &[&format!("TRUSTED_PROXIES={networks}")]).proxy_warnings();
        assert_eq!(warnings.len(), warned.len(), "{networks}: {warnings:?}");
        for (warning, network) in warnings.iter().zip(warned) {
            let begin = format!("TRUSTED_PROXIES={network:?}: ");
            assert!(warning.starts_with(&begin), "{warning}");
        }
    }
}

#[test]
fn a_secret_has_its_bounds_and_is_never_a_flag() {
    for (name, _) in SECRETS {
        let min = least_of(name);
        let allowed = format!(
            "must be {min} to 512 visible ASCII characters {} spaces; not as a flag, because \
             other processes could read it",
            spaces_of(name)
        );
        let told = |origin: &str| format!("{name}=\"***\" ({origin}): {allowed}");
        for (length, right) in [(min - 1, false), (min, true), (512, true), (513, false)] {
            let variable = format!("{name}={}", "x".repeat(length));
            if right {
                run("", &[&variable]);
            } else {
                assert_eq!(fault("", &[&variable]), told("env"));
            }
        }
        for secret in [
            "s3cret\ts3cret\ts3cret",
            "s3cret-s3cret-s3cret\n",
            "s3cret-s3cret-s3cr\u{e9}t",
        ] {
            assert_eq!(fault("", &[&format!("{name}={secret}")]), told("env"));
        }
        let key = name.to_lowercase();
        assert_eq!(fault_of(format!("{key} = 's3cret'")), told("file"));
        let flag = format!("--{}", key.replace('_', "-"));
        let never = format!(
            "{flag} (flag): is a secret, and other processes could read a flag; set the variable \
             {name} instead"
        );
        for args in [
            format!("{flag} s3cret-s3cret-s3cret"),
            format!("{flag}=s3cret-s3cret-s3cret"),
            format!("{flag} --s3cret-s3cret-s3cret"),
            flag.clone(),
        ] {
            assert_eq!(fault(&args, &[]), never, "{args}");
        }
        assert_eq!(
            fault(&format!("{name}=s3cret-s3cret-s3cret"), &[]),
            format!(
                "{name:?} (argument): is neither a flag nor the value of one; --help-all lists all \
                 flags"
            )
        );
    }
}

#[test]
fn the_url_that_alerts_are_posted_to_is_shown_as_little_as_a_password() {
    let given = format!("ALERT_WEBHOOK_URL={ALERT_URL}");
    let env = [given.as_str()];
    let settings = run("", &env);
    let folder = Folder::new();
    let file = folder.file("settings", format!("alert_webhook_url = '{ALERT_URL}'"));
    let from_file = run("", &[&format!("CONFIG_FILE={file}")]);
    assert_eq!(from_file.alerts, settings.alerts);
    let seen = [
        format!("{settings:?} {settings:#?} {:?}", settings.alerts),
        format!("{:?}", run("", &[]).diff(&settings)),
        settings.describe(),
        printed("--print-config", &env),
    ];
    assert!(seen[2].contains(" alert_webhook_url=set "), "{}", seen[2]);
    assert!(
        seen[3].contains("\nALERT_WEBHOOK_URL=*** # env\n"),
        "{}",
        seen[3]
    );
    for text in seen {
        assert!(!text.contains("s3cret"), "{text}");
    }
    for wrong in [
        "ftp://s3cret.example.org/",
        "https://user:s3cret@example.org/",
        "s3cret",
        "https://",
        "https://example.org/#s3cret",
    ] {
        assert_eq!(
            faults("", &[&format!("ALERT_WEBHOOK_URL={wrong}")]),
            [
                "ALERT_WEBHOOK_URL=\"***\" (env): must be a URL with http:// or https:// and a \
                 host, without a user name; not as a flag, because other processes could read it"
            ]
        );
    }
}

#[test]
fn the_operators_endpoints_are_open_to_others_only_with_a_token() {
    for open in [
        "0.0.0.0:9002",
        "[::]:0",
        "10.0.0.1:1",
        "[::ffff:10.0.0.1]:1",
    ] {
        let flag = format!("--admin-addr {open}");
        assert_eq!(
            fault(&flag, &[]),
            format!(
                "ADMIN_ADDR={open:?} (flag): must be off or a loopback address, unless ADMIN_TOKEN \
                 or ADMIN_TOKEN_FILE is set: otherwise every client that reaches this address \
                 could close all connections"
            )
        );
        let settings = run(&flag, &[&format!("ADMIN_TOKEN={TOKEN}")]);
        assert_eq!(settings.admin_addr, Some(addr(open)));
        let token = fault(&flag, &["ADMIN_TOKEN=short"]);
        assert!(token.starts_with("ADMIN_TOKEN="), "one fault: {token}");
    }
    for local in ["127.0.0.1:0", "[::1]:9", "[::ffff:127.0.0.1]:1"] {
        let settings = run(&format!("--admin-addr {local}"), &[]);
        assert_eq!(settings.admin_addr, Some(addr(local)));
    }
    for off in ["off", "OFF"] {
        assert_eq!(run(&format!("--admin-addr {off}"), &[]).admin_addr, None);
    }
    assert_eq!(
        fault("--admin-addr none", &[]),
        "ADMIN_ADDR=\"none\" (flag): must be off, or an IP address with a port, such as \
         127.0.0.1:8002 or [::1]:8002; a loopback address unless a token is set; another address \
         or port than LISTEN_ADDR"
    );
}

#[test]
fn operators_and_peers_are_not_served_at_one_address() {
    let both = |listen: &str, admin: &str| format!("--listen-addr {listen} --admin-addr {admin}");
    let open = [
        &format!("ADMIN_TOKEN={TOKEN}") as &str,
        "ALLOW_UNAUTHENTICATED=1",
    ];
    for (listen, admin) in [
        ("127.0.0.1:8002", "127.0.0.1:8002"),
        ("127.0.0.1:8002", "[::ffff:127.0.0.1]:8002"),
        ("0.0.0.0:8002", "127.0.0.1:8002"),
        ("10.0.0.1:8002", "0.0.0.0:8002"),
        ("[::]:8002", "127.0.0.1:8002"),
        ("[::1]:8002", "[::]:8002"),
        ("0.0.0.0:8002", "[::]:8002"),
    ] {
        assert_eq!(
            fault(&both(listen, admin), &open),
            format!(
                "ADMIN_ADDR={admin:?} (flag): must be another address or port than LISTEN_ADDR, \
                 which is {listen} (flag): two listeners cannot share one"
            )
        );
    }
    let default = fault("--listen-addr 127.0.0.1:9002", &[]);
    assert!(default.contains("must be another address"), "{default}");
    for (listen, admin) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:8002", "127.0.0.1:8003"),
        ("127.0.0.1:8002", "127.0.0.2:8002"),
        ("0.0.0.0:8002", "[::1]:8002"),
        ("127.0.0.1:8002", "off"),
    ] {
        run(&both(listen, admin), &open);
    }
}

#[test]
fn a_proxys_word_counts_only_from_proxies_that_are_named() {
    for version in ["v1", "V2"] {
        let flag = format!("--proxy-protocol {version}");
        let shown = version.to_lowercase();
        let told = format!(
            "PROXY_PROTOCOL={shown:?} (flag): must be off, unless TRUSTED_PROXIES names at least \
             one address: otherwise no header would be read"
        );
        assert_eq!(fault(&flag, &[]), told);
        assert_eq!(fault(&format!("{flag} --trusted-proxies="), &[]), told);
        run(&flag, &["TRUSTED_PROXIES=10.0.0.1"]);
        let proxies = fault(&flag, &["TRUSTED_PROXIES=proxy"]);
        assert!(proxies.starts_with("TRUSTED_PROXIES="), "{proxies}");
    }
    let networks = |text: &str| {
        let networks = run("", &[&format!("TRUSTED_PROXIES={text}")]).trusted_proxies;
        networks.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(networks("10.1.2.3, ::1"), ["10.1.2.3/32", "::1/128"]);
    assert_eq!(networks("::ffff:10.0.0.0/104"), ["10.0.0.0/8"]);
    assert_eq!(networks(&vec!["::1"; 256].join(",")).len(), 256);
    let many = vec!["::1"; 257].join(",");
    assert!(fault("", &[&format!("TRUSTED_PROXIES={many}")]).contains("must be up to 256 IP"));
    let folder = Folder::new();
    for list in [
        "['10.0.0.1', '::1']",
        "'10.0.0.1,::1'",
        "[\n'10.0.0.1',\n'::1',\n]",
    ] {
        let file = folder.file("settings", format!("trusted_proxies = {list}"));
        let settings = run("", &[&format!("CONFIG_FILE={file}")]);
        assert_eq!(settings.trusted_proxies.len(), 2);
    }
    let file = folder.file("settings", "trusted_proxies = []");
    let overruled = ["TRUSTED_PROXIES=::1", &format!("CONFIG_FILE={file}")].map(str::to_owned);
    let [variable, file] = &overruled;
    assert_eq!(run("", &[variable, file]).trusted_proxies.len(), 1);
    assert_eq!(run("--trusted-proxies=", &[variable]).trusted_proxies, []);
}

// ---- credentials ----

const APPS: &str = r#"[
    {"package": "org.a", "api_key": "s3cret-a", "webhook_url": "http://a:3000/webhook"},
    {"package": "org.b", "api_key": "s3cret-b"}
]"#;

#[test]
fn the_apps_are_those_of_their_file() {
    let folder = Folder::new();
    let file = folder.file("apps.json", APPS);
    let in_file = folder.file("settings", format!("apps_file = '{file}'"));
    let variable = format!("APPS_FILE={file}");
    for (args, env) in [
        (String::new(), [variable.as_str()].as_slice()),
        (format!("--apps-file {file}"), &[]),
        (format!("--config-file {in_file}"), &[]),
    ] {
        let settings = run(&args, env);
        assert_eq!(
            settings.apps,
            Some(AppRegistry::parse(APPS.as_bytes()).unwrap())
        );
        let credentials = settings.credentials();
        assert!(
            credentials.is_app_key("org.a", "s3cret-a")
                && credentials.is_app_key("org.b", "s3cret-b")
        );
        assert!(
            !credentials.is_app_key("org.a", "s3cret-b") && !credentials.is_app_key("org.c", "")
        );
        assert_eq!(
            credentials.webhook_url("org.a"),
            Some("http://a:3000/webhook")
        );
        assert_eq!(credentials.admission(), Admission::Started);
        assert!(settings.describe().contains(&format!(" apps_file={file} ")));
        let text = printed(&format!("--print-config {args}"), env);
        assert!(text.contains(&format!("\nAPPS_FILE={file} # ")));
        let seen = format!(
            "{settings:?} {credentials:?} {text} {}",
            settings.describe()
        );
        assert!(!seen.contains("s3cret"), "{seen}");
    }
    let key = ["APP_ADMISSION=key", &variable];
    assert_eq!(run("", &key).credentials().admission(), Admission::Key);
}

#[test]
fn what_is_wrong_with_the_apps_is_told_with_all_else() {
    let folder = Folder::new();
    let file = folder.file(
        "apps.json",
        r#"[{"package": "", "api_key": "s3cret"}, {"package": "a", "key": "s3cret"}]"#,
    );
    let flag = format!("--apps-file {file}");
    let told = |must: &str| format!("APPS_FILE={file:?} (flag): must be {must}");
    let apps = "a list of apps without faults: app 1: package is not a string of 1 to 256 bytes \
                without control characters, app 2: has a field other than package, api_key, \
                webhook_url and may_send, app 2: api_key is not a string of 1 to 512 bytes without \
                control characters";
    assert_eq!(
        faults(
            &format!("{flag} --drain-ms x"),
            &["CONNECTION_TIMEOUT_MS=15000"]
        ),
        [
            "DRAIN_MS=\"x\" (flag): must be a whole number of milliseconds from 0 to 86400000, or \
             with a unit (15s, 2m)",
            &told(apps),
            "CONNECTION_TIMEOUT_MS=\"15000\" (env): \
             must be more than HEARTBEAT_INTERVAL_MS, which is 15000 (default)",
        ]
    );
    folder.file("apps.json", "{}");
    assert_eq!(fault(&flag, &[]), told("a JSON array of apps"));
    folder.file("apps.json", "[");
    assert_eq!(
        fault(&flag, &[]),
        told("a file in JSON, which line 1, column 1 is not")
    );
    let full = format!("[{}]", " ".repeat((16 << 20) - 2));
    folder.file("apps.json", &full);
    assert_eq!(run(&flag, &[]).apps, Some(AppRegistry::default()));
    folder.file("apps.json", full + " ");
    assert_eq!(fault(&flag, &[]), told("a file of at most 16777216 bytes"));
    fs::remove_file(&file).unwrap();
    assert_eq!(
        fault(&flag, &[]),
        told("a readable file: No such file or directory (os error 2)")
    );
    assert_eq!(
        fault("--apps-file /dev/zero", &[]),
        "APPS_FILE=\"/dev/zero\" (flag): must be a regular file"
    );
}

#[test]
fn where_the_state_is_to_be_kept_is_looked_at_before_the_start() {
    let folder = Folder::new();
    let told = |path: &str, must: &str| {
        let wanted = format!("STATE_FILE={path:?} (env): must be {must}");
        for args in ["", "--check"] {
            assert_eq!(fault(args, &[&format!("STATE_FILE={path}")]), wanted);
        }
    };
    let missing = "a file in an existing folder: No such file or directory (os error 2)";
    let no_folder = "a file in an existing folder: Not a directory (os error 20)";
    let special = "a regular file, or one that does not exist yet";
    told(&folder.path("none/state.json"), missing);
    told(&folder.path(""), special);
    told("/dev/zero", special);
    let file = folder.file("file", "");
    told(&format!("{file}/state.json"), no_folder);
    symlink("later.json", folder.path("to-later")).expect("a link");
    for path in [folder.path("later.json"), folder.path("to-later"), file] {
        let settings = run("", &[&format!("STATE_FILE={path}")]);
        assert_eq!(settings.state_file.as_deref(), Some(Path::new(&path)));
    }
    assert!(
        !Path::new(&folder.path("later.json")).exists(),
        "only looked"
    );
}

/// After any one-character change of the apps file, the message shows no key.
#[test]
fn no_slip_in_the_apps_shows_a_key() {
    let folder = Folder::new();
    let mut told = 0;
    for at in 0..APPS.len() {
        let (before, after) = (&APPS[..at], &APPS[at..]);
        for slip in [
            "\"", ",", ":", "[", "{", "}", "\\", "\n", "\0", "\u{e9}", "",
        ] {
            for rest in [after, &after[1..]] {
                let path = folder.file("apps.json", format!("{before}{slip}{rest}"));
                let read = start("", &[&format!("APPS_FILE={path}")]);
                let seen = match &read {
                    Ok(command) => format!("{command:?}"),
                    Err(faults) => format!("{faults} {faults:?}"),
                };
                told += usize::from(read.is_err());
                assert!(!seen.contains("s3cret"), "{before}{slip}{rest}\n{seen}");
            }
        }
    }
    assert!(told > 1_000, "{told}");
}

#[test]
fn pages_are_named_by_their_origins() {
    let allowed = "up to 64 origins, separated by commas, such as \
                   https://app.example.org,http://localhost:3000,file://,null, spelt as clients \
                   send them; * is not allowed";
    let origins = |env: &str| {
        let origins = run("", &[&format!("ALLOWED_ORIGINS={env}")]).allowed_origins;
        origins.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(origins("HTTPS://A.example:443"), ["https://a.example"]);
    assert_eq!(
        origins("https://a, http://b:1"),
        ["https://a", "http://b:1"]
    );
    assert_eq!(origins(&vec!["https://a"; 64].join(",")).len(), 64);
    let many = vec!["https://a"; 65].join(",");
    assert_eq!(
        origins("file://,null,https://A/Path,a.example"),
        ["file://", "null", "https://A/Path", "a.example"],
        "what no browser's page has is compared as it is"
    );
    for wrong in ["*", "https://*.example", "https://a b", "https://a,", &many] {
        assert_eq!(
            fault("", &[&format!("ALLOWED_ORIGINS={wrong}")]),
            format!("ALLOWED_ORIGINS={wrong:?} (env): must be {allowed}")
        );
    }
    assert_eq!(
        run("--allowed-origins=", &["ALLOWED_ORIGINS=http://a"]).allowed_origins,
        []
    );
    let folder = Folder::new();
    let file = folder.file("settings", "allowed_origins = ['https://A', 'http://b:80']");
    let env = [&*format!("CONFIG_FILE={file}")];
    let text = printed("--print-config", &env);
    assert!(
        text.contains("\nALLOWED_ORIGINS=https://a,http://b # file\n"),
        "{text}"
    );
    assert_eq!(
        fault_of("allowed_origins = 5"),
        format!("ALLOWED_ORIGINS (file): is an integer; it must be {allowed}")
    );
}

// ---- the relay ----

#[test]
fn what_is_not_kept_is_named_by_its_type_or_nothing_is() {
    let skipped = |args: &str, env: &[&str]| run(args, env).replay_skip.join(" ");
    assert_eq!(skipped("", &[]), "VAD location_update head_position");
    assert_eq!(skipped("", &["REPLAY_SKIP=VAD"]), "VAD");
    assert_eq!(skipped("", &["REPLAY_SKIP=VAD , a:b"]), "VAD a:b");
    assert_eq!(
        skipped("", &["REPLAY_SKIP="]),
        "VAD location_update head_position"
    );
    let folder = Folder::new();
    let empty = folder.file("settings", "replay_skip = []");
    for (args, env) in [
        ("--replay-skip=", [].as_slice()),
        ("--replay-skip none", &[]),
        (&format!("--config-file {empty}"), &[]),
        ("", &["REPLAY_SKIP=None"]),
    ] {
        assert_eq!(skipped(args, env), "");
        let text = printed(&format!("--print-config {args}"), env);
        assert!(text.contains("\nREPLAY_SKIP=none # "), "{text}");
    }
    let long = "x".repeat(129);
    let many = vec!["a"; 65].join(",");
    for wrong in ["a b", "a,,b", "\u{e9}", &long, &many] {
        assert_eq!(
            fault("", &[&format!("REPLAY_SKIP={wrong}")]),
            format!(
                "REPLAY_SKIP={wrong:?} (env): must be up to 64 types of frames, separated by \
                 commas, each of up to 128 visible ASCII characters; or none"
            )
        );
    }
}

#[test]
fn apps_are_told_a_websocket_to_connect_to() {
    let url = |url: &str| run("", &[&format!("APP_WEBSOCKET_URL={url}")]).app_websocket_url;
    for right in [
        "ws://127.0.0.1:8002/app-ws",
        "wss://gateway.example.org/app-ws",
        "WSS://[::1]:1/",
        "ws://a/b/c?d=e&f=%20",
    ] {
        assert_eq!(url(right).as_deref(), Some(right));
    }
    for wrong in [
        "gateway.example.org/app-ws",
        "http://a/app-ws",
        "ws://a",
        "ws://a?b",
        "ws:///app-ws",
        "ws://user:password@a/app-ws",
        "ws://a/app-ws#b",
        "ws://a/ b",
    ] {
        assert_eq!(
            fault("", &[&format!("APP_WEBSOCKET_URL={wrong}")]),
            format!(
                "APP_WEBSOCKET_URL={wrong:?} (env): must be a URL with ws:// or wss://, a host \
                 and a path, such as wss://gateway.example.org/app-ws"
            )
        );
    }
    let described = run("", &["APP_WEBSOCKET_URL=ws://a/b?c=d"]).describe();
    assert!(
        described.contains(" app_websocket_url=\"ws://a/b?c=d\" "),
        "{described}"
    );
}

#[test]
fn the_first_word_of_an_app_has_its_time_and_that_of_glasses_has_none() {
    let settings = run("--app-init-timeout-ms 500", &[]);
    let classes = settings.engine_config(&classes()).classes;
    let timeouts: Vec<_> = classes
        .iter()
        .map(|c| c.policy.first_message_timeout)
        .collect();
    assert_eq!(timeouts, [None, Some(Micros::from_millis(500))]);
    let path = run("--state-file state.json", &[]).state_file;
    assert_eq!(path.as_deref(), Some(Path::new("state.json")));
    assert_eq!(
        fault("", &["REPLAY_UNCONFIRMED=1"]),
        "REPLAY_UNCONFIRMED=\"1\" (env): must be off or on"
    );
    assert_eq!(
        fault("", &["APP_ADMISSION=open"]),
        "APP_ADMISSION=\"open\" (env): must be started or key"
    );
    assert_eq!(
        fault("", &["FLAPPING_LIMIT=-1"]),
        "FLAPPING_LIMIT=\"-1\" (env): must be a whole number of connections per minute from 0 to \
         100000"
    );
    assert_eq!(
        fault("", &["REPLAY_MAX_MESSAGES=100001"]),
        "REPLAY_MAX_MESSAGES=\"100001\" (env): must be a whole number of messages from 0 to 100000"
    );
    assert_eq!(
        fault("", &["REPLAY_MAX_BYTES=67108865"]),
        "REPLAY_MAX_BYTES=\"67108865\" (env): must be a whole number of bytes from 0 to 67108864; \
         at most half of MAX_PENDING_BYTES"
    );
    assert_eq!(
        fault("--replay-max-bytes 2097153", &[]),
        "REPLAY_MAX_BYTES=\"2097153\" (flag): \
         must be at most half of MAX_PENDING_BYTES, which is 4194304 (default)"
    );
    let small = run(
        "--max-pending-bytes 70000 --max-message-bytes 1000 --max-buffered-bytes 1000000",
        &[],
    );
    assert_eq!(small.replay.max_bytes, 35_000);
    assert_eq!(
        run("", &[]).replay.max_bytes,
        262_144,
        "what was to be compared"
    );
}

// ---- secrets ----

#[test]
fn a_secret_is_nowhere_to_be_seen() {
    for (name, file_name) in SECRETS {
        let folder = Folder::new();
        let key = name.to_lowercase();
        let secret_file = folder.file("secret", TOKEN);
        let in_file = folder.file("settings", format!("{key} = '{TOKEN}'"));
        for given in [
            format!("{name}={TOKEN}"),
            format!("{file_name}={secret_file}"),
            format!("CONFIG_FILE={in_file}"),
        ] {
            let env = [given.as_str()];
            let settings = run("", &env);
            assert_eq!(secret_of(&settings, name).as_deref(), Some(TOKEN));
            assert!(settings.describe().contains(&format!(" {key}=set ")));
            let changes = run("", &[]).diff(&settings);
            assert_eq!(
                changes.needs_restart.len() + changes.applied.len(),
                1 + usize::from(given.starts_with("CONFIG"))
            );
            let text = printed("--print-config", &env);
            let is_shown = given.starts_with(file_name);
            let hidden = format!("\n{name}=*** # ");
            assert_eq!(text.contains(&hidden), !is_shown, "{text}");
            let newer = run("", &[&format!("{name}={TOKEN}-another")]);
            let both = [settings.diff(&newer), newer.diff(&settings)];
            let seen = [
                format!("{settings:?} {settings:#?} {changes:?} {both:?}"),
                format!("{:?} {:#?}", settings.credentials(), settings.credentials()),
                format!(
                    "{0} {0:?}",
                    settings
                        .admin_token
                        .clone()
                        .or(settings.auth_jwt_secret.clone())
                        .unwrap()
                ),
                format!("{:?}", start("", &env)),
                format!("{:?}", start("--check", &env)),
                settings.describe(),
                text,
                printed("--help-all", &env),
                faults("--frobnicate --admin-addr=x", &env).join("\n"),
            ];
            for seen in seen {
                assert!(!seen.contains("s3cret"), "{seen}");
            }
        }
        assert!(run("", &[]).describe().contains(&format!(" {key}=none ")));
        let again = format!("{name}=***");
        let told = format!("{name}=\"***\" (env): must be");
        assert!(fault("", &[&again]).starts_with(&told));
    }
}

/// After any one-character change of a settings file, the message does not show its secret.
#[test]
fn no_slip_in_the_file_shows_its_secret() {
    let folder = Folder::new();
    let file = format!(
        "admin_addr = \"0.0.0.0:1\"\nadmin_token = \"{TOKEN}\"\n\nlog_level = 'info'\n\
         auth_jwt_secret = \"{SECRET}\"\nreplay_skip = ['VAD']\n"
    );
    let at_secret = |at: usize| {
        [TOKEN, SECRET].iter().any(|secret| {
            let found = file.find(secret);
            found.is_some_and(|s| (s..s + secret.len()).contains(&at))
        })
    };
    let mut told = 0;
    for at in 0..file.len() {
        let (before, after) = (&file[..at], &file[at..]);
        let mut slips: Vec<String> = [
            "\"", "\"\"\"", "'''", "\n", "=", "[", "{", ".", "#", "\\", "\0", "\u{e9}",
        ]
        .iter()
        .flat_map(|slip| {
            [
                format!("{before}{slip}{after}"),
                format!("{before}{slip}{}", &after[1..]),
            ]
        })
        .collect();
        slips.extend([before.to_owned(), format!("{before}{}", &after[1..])]);
        for slip in slips.iter().filter(|_| !at_secret(at)) {
            let path = folder.file("settings", slip);
            let read = start("--print-config", &[&format!("CONFIG_FILE={path}")]);
            let seen = match &read {
                Ok(command) => format!("{command:?}"),
                Err(faults) => format!("{faults} {faults:?}"),
            };
            told += usize::from(read.is_err());
            assert!(!seen.contains("s3cret"), "{slip}\n{seen}");
        }
    }
    assert!(told > 500, "{told}");
    let open = format!("log_level = '''info\nadmin_token = \"{TOKEN}\"\n'''");
    assert_eq!(
        fault_of(open),
        "LOG_LEVEL=\"info…\" (file): must be error, warn, info, debug or trace"
    );
}

// ---- reload ----

#[test]
fn what_a_reload_applies_is_in_the_table() {
    let restart: Vec<&str> = SETTINGS
        .iter()
        .filter(|s| !s.reload)
        .map(|s| s.name)
        .collect();
    assert_eq!(
        restart,
        [
            "CONFIG_FILE",
            "LISTEN_ADDR",
            "ALLOW_UNAUTHENTICATED",
            "ADMIN_ADDR",
            "ADMIN_TOKEN",
            "ADMIN_TOKEN_FILE",
            "LOG_FORMAT",
            "APP_WEBSOCKET_URL",
            "STATE_FILE",
            "WEBHOOK_TIMEOUT_MS",
            "REUSE_PORT",
            "PROXY_PROTOCOL",
            "ADMIN_HOSTS",
        ]
    );
}

#[test]
fn every_setting_that_changed_is_named_in_a_reload() {
    let old = run("", &[]);
    assert!(old.diff(&old).is_empty());
    assert_eq!(old.reloaded(&old), Ok(old.clone()));
    // The other settings that make each valid are set before and after.
    let beside = [
        "ALLOW_UNAUTHENTICATED=1",
        "ADMIN_TOKEN=another-s3cret-of-ours",
        "HEARTBEAT_INTERVAL_MS=1000",
        "CONNECTION_TIMEOUT_MS=4000",
        "MAX_MESSAGE_BYTES=60000",
        "MAX_PENDING_BYTES=70014",
        "TRUSTED_PROXIES=::1",
    ];
    for (name, value) in GIVEN.iter().filter(|(name, _)| !is_path(name)) {
        let setting = SETTINGS.iter().find(|s| s.name == *name).unwrap();
        let mut env = beside.to_vec();
        env.retain(|pair| *name != "ALLOW_UNAUTHENTICATED" || !pair.starts_with(name));
        let old = run("", &env);
        let given = format!("{name}={value}");
        env.retain(|pair| pair.split_once('=').unwrap().0 != *name);
        env.push(&given);
        let newer = run("", &env);
        let changes = old.diff(&newer);
        let applied: Vec<&str> = changes.applied.iter().map(|c| c.name).collect();
        assert_eq!(applied.contains(name), setting.reload, "{name}");
        assert_eq!(
            changes.needs_restart.contains(name),
            !setting.reload,
            "{name}"
        );
        let also = |other: &str| other.ends_with(name);
        assert!(
            applied
                .iter()
                .chain(&changes.needs_restart)
                .all(|n| also(n)),
            "{changes:?}"
        );
        let after = old.reloaded(&newer).expect("no fault");
        assert_eq!(after == newer, setting.reload, "{name}");
        assert_eq!(after == old, !setting.reload, "{name}");
    }
}

#[test]
fn a_reload_tells_old_and_new_values() {
    let folder = Folder::new();
    let file = folder.file("settings", "drain_ms = 1\ntrusted_proxies = ['::1']\n");
    let token = folder.file("token", TOKEN);
    let env = [
        format!("CONFIG_FILE={file}"),
        format!("ADMIN_TOKEN_FILE={token}"),
    ];
    let env = [env[0].as_str(), env[1].as_str()];
    let old = run("", &env);
    folder.file(
        "settings",
        "drain_ms = 2\nheartbeat_interval_ms = 2000\nmax_connections = 9\n\
         listen_addr = '127.0.0.1:1'\ntrusted_proxies = []",
    );
    folder.file("token", format!("{TOKEN}-another"));
    let newer = run("--app-heartbeat-interval-ms 15000", &env);
    let changes = old.diff(&newer);
    let change = |name, old: &str, new: &str| SettingChange {
        name,
        old: old.to_owned(),
        new: new.to_owned(),
    };
    assert_eq!(
        changes.applied,
        [
            change("HEARTBEAT_INTERVAL_MS", "15000", "2000"),
            change(
                "MAX_CONNECTIONS",
                "what the limit of file descriptors allows",
                "9"
            ),
            change("DRAIN_MS", "1", "2"),
            change("GLASSES_HEARTBEAT_INTERVAL_MS", "15000", "2000"),
            change("TRUSTED_PROXIES", "::1/128", "none"),
        ]
    );
    assert_eq!(changes.needs_restart, ["LISTEN_ADDR", "ADMIN_TOKEN_FILE"]);
    let after = old.reloaded(&newer).expect("no fault");
    assert_eq!(after.drain, Micros::from_millis(2));
    assert_eq!(after.listen_addr, old.listen_addr);
    assert_eq!(after.admin_token, old.admin_token);
    // A different origin of the same value is no change.
    let flag = run("--drain-ms 2", &env);
    assert!(
        newer
            .diff(&flag)
            .applied
            .iter()
            .all(|c| c.name != "DRAIN_MS")
    );
}

#[test]
fn a_reload_sees_what_changed_in_the_files_of_credentials() {
    let folder = Folder::new();
    let (apps, secret) = (folder.file("apps", APPS), folder.file("secret", SECRET));
    let env = [
        format!("APPS_FILE={apps}"),
        format!("AUTH_JWT_SECRET_FILE={secret}"),
    ];
    let env = env.each_ref().map(String::as_str);
    let old = run("", &env);
    assert!(old.diff(&run("", &env)).is_empty());
    let names = |newer: &Settings| {
        let changes = old.diff(newer);
        assert_eq!(changes.needs_restart, [""; 0]);
        let seen = format!("{changes:?}");
        assert!(!seen.contains("s3cret"), "{seen}");
        changes.applied.iter().map(|c| c.name).collect::<Vec<_>>()
    };
    folder.file("apps", APPS.replace("s3cret-b", "s3cret-c"));
    let newer = run("", &env);
    assert_eq!(names(&newer), ["APPS_FILE"]);
    let after = old.reloaded(&newer).expect("no fault").credentials();
    assert!(after.is_app_key("org.b", "s3cret-c") && !after.is_app_key("org.b", "s3cret-b"));
    folder.file("apps", APPS.replace("3000", "3001"));
    assert_eq!(names(&run("", &env)), ["APPS_FILE"]);
    folder.file("apps", format!("\n{APPS}\n"));
    assert!(names(&run("", &env)).is_empty(), "the apps are the same");
    folder.file("secret", format!("{SECRET}-another"));
    let newer = run("", &env);
    assert_eq!(names(&newer), ["AUTH_JWT_SECRET_FILE"]);
    let after = old.reloaded(&newer).expect("no fault");
    assert_eq!(after.auth_jwt_secret, newer.auth_jwt_secret);
}

#[test]
fn a_reload_does_not_open_the_gateway_to_others() {
    let secret = format!("AUTH_JWT_SECRET={SECRET}");
    let old = run("--listen-addr 0.0.0.0:1", &[&secret]);
    let newer = run("", &[]);
    let told = old.reloaded(&newer).expect_err("a fault").to_string();
    assert!(
        told.contains("LISTEN_ADDR=\"0.0.0.0:1\" (flag): must be a loopback address"),
        "{told}"
    );
    // Nor on a loopback address; the other direction, from open to closed, is allowed.
    let old = run("", &[&secret]);
    let told = old.reloaded(&newer).expect_err("a fault").to_string();
    assert_eq!(
        told,
        "1 setting is wrong:\n  AUTH_JWT_SECRET=\"\" (default): must be set: a reload does not \
         remove AUTH_JWT_SECRET, which is *** (env); only a restart does"
    );
    assert!(
        !newer
            .reloaded(&old)
            .expect("no fault")
            .credentials()
            .is_open()
    );
}

#[test]
fn a_reload_takes_away_nothing_that_keeps_peers_out() {
    let folder = Folder::new();
    let (apps, secret) = (folder.file("apps", APPS), folder.file("secret", SECRET));
    let all = [
        format!("AUTH_JWT_SECRET={SECRET}"),
        format!("APPS_FILE={apps}"),
        "ALLOWED_ORIGINS=https://a.example".to_owned(),
        "WEBHOOK_ALLOW=10.0.0.0/8".to_owned(),
        "TRUSTED_PROXIES=10.0.0.1".to_owned(),
    ];
    let all = all.each_ref().map(String::as_str);
    let old = run("", &all);
    for nth in 0..all.len() {
        let (gone, _) = all[nth].split_once('=').expect("a setting");
        let mut left = all.to_vec();
        left.remove(nth);
        let told = old.reloaded(&run("", &left)).expect_err(gone).to_string();
        assert!(told.starts_with("1 setting is wrong:\n"), "{told}");
        let what = format!("{gone}=\"\" (default): must be set: a reload does not remove {gone}");
        assert!(told.contains(&what), "{told}");
        // A restriction that was not given before need not be given.
        let before = run("", &left);
        assert!(before.reloaded(&before).is_ok(), "{gone}");
    }
    // A secret may move to a file.
    let moved = format!("AUTH_JWT_SECRET_FILE={secret}");
    let newer: Vec<&str> = [&moved[..]]
        .into_iter()
        .chain(all[1..].iter().copied())
        .collect();
    assert!(old.reloaded(&run("", &newer)).is_ok());
}

#[test]
fn what_waits_for_a_restart_must_fit_what_does_not() {
    let old = run("--proxy-protocol v1 --trusted-proxies ::1", &[]);
    let newer = run("", &[]);
    assert_eq!(
        old.reloaded(&newer).expect_err("a fault").to_string(),
        "2 settings are wrong:\n  PROXY_PROTOCOL=\"v1\" (flag): must be off, unless \
         TRUSTED_PROXIES names at least one address: otherwise no header would be read\n  \
         TRUSTED_PROXIES=\"\" (default): must be set: a reload does not remove TRUSTED_PROXIES, \
         which is ::1/128 (flag); only a restart does"
    );
    assert!(newer.reloaded(&old).is_ok());
}

#[test]
fn a_live_policy_has_the_bounds_of_the_start() {
    assert_eq!(check_policy(&Policy::default()), Ok(()));
    let [min, day] = [10, 86_400_000].map(Micros::from_millis);
    let policy = |heartbeat_interval, connection_timeout| Policy {
        heartbeat_interval,
        connection_timeout,
        ..Policy::default()
    };
    let told = |policy: &Policy| -> Vec<String> {
        let error = check_policy(policy).expect_err("a fault");
        error.faults().iter().map(ToString::to_string).collect()
    };
    let above = |time: Micros| Micros(time.0 + 1);
    assert_eq!(check_policy(&policy(min, above(min))), Ok(()));
    assert_eq!(check_policy(&policy(Micros(day.0 - 1), day)), Ok(()));
    assert_eq!(
        told(&policy(day, day)),
        [
            "connection_timeout is 86400000 ms; it must be more than heartbeat_interval, which is \
             86400000 ms"
        ]
    );
    let wrong = Policy {
        heartbeat_interval: Micros(9_999),
        connection_timeout: above(above(day)),
        suspect_after: 0,
        first_message_timeout: Some(Micros::ZERO),
        close_timeout: Micros(u64::MAX),
        ..Policy::default()
    };
    assert_eq!(
        told(&wrong),
        [
            "heartbeat_interval is 9 ms; it must be 10 ms to 86400000 ms",
            "connection_timeout is 86400000 ms; it must be 10 ms to 86400000 ms",
            "first_message_timeout is 0 ms; it must be 10 ms to 86400000 ms",
            "close_timeout is 18446744073709551 ms; it must be 10 ms to 86400000 ms",
            "suspect_after is 0; it must be at least 1",
        ]
    );
}
