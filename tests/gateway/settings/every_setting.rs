//! Every setting reaches its field, from each source; without any, the documented default holds.

use super::loading::{addr, run};
use super::samples::{
    ALERT_URL, EVENTS_SECRET, EVENTS_URL, GIVEN, SECRET, TOKEN, is_path, is_secret,
};
use crate::folder::Folder;
use log::LevelFilter;
use pulsegate::config::{BridgeSettings, CliAction, SETTINGS, Secret, Settings, ValueKind, load};
use pulsegate::engine::AdaptiveCadence;
use pulsegate::gateway::{
    AcceptedSubprotocols, Admission, Balance, HostHeader, ProxyProtocol, RelaySettings,
    ReplayLimits, ReportMode, Route, RouteAuth, SessionLimits, Subprotocols, WebOrigin,
    WeightedUpstream,
};
use pulsegate::health::{AliveBy, HeartbeatMode, Policy, StaleAction};
use pulsegate::side::{AlertSettings, HttpSettings, WebhookUrl};
use pulsegate::time::Micros;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Sets that nothing is told of connections but what is kept for readers.
fn set_no_events(settings: &mut Settings) {
    settings.glasses_connection_state = false;
    settings.events_url = None;
    settings.events_secret = None;
    settings.events_kept = 16_384;
}

#[test]
fn without_flags_and_variables_the_documented_defaults_hold() {
    let mut settings = run("", &[]);
    let read = settings.clone();
    settings.bridge = None;
    settings.serves_relay = true;
    settings.client = Policy::default();
    settings.upstream = Policy {
        heartbeat_interval: Micros::from_secs(30),
        connection_timeout: Micros::from_secs(90),
        ..Policy::default()
    };
    settings.link_slow_after = Micros::from_secs(30);
    settings.health_path = "/healthz".into();
    settings.ready_needs_upstream = false;
    settings.http = HttpSettings {
        head_max: 16_384,
        head_timeout: Duration::from_secs(10),
        answer_timeout: Duration::from_secs(120),
        body_idle: Duration::from_secs(300),
        keep_alive: Duration::from_secs(75),
        upstream_keep_alive: Duration::from_secs(4),
        max_requests: 10_000,
    };
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
    set_no_events(&mut settings);
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
    (settings.cadence, settings.cadence_file) = (None, None);
    settings.log_level = LevelFilter::Info;
    settings.config_file = None;
    settings.config_watch = false;
    assert_eq!(read, settings);
    assert_eq!(read.relay_settings(), RelaySettings::default());
    assert!(read.credentials().is_open());
}

#[test]
fn with_an_upstream_the_documented_defaults_of_the_bridge_hold() {
    let settings = run("--upstream http://127.0.0.1:3000", &[]);
    let upstream = WeightedUpstream::parse("http://127.0.0.1:3000").expect("a location");
    let bridge = BridgeSettings {
        routes: vec![Route {
            name: "default".into(),
            host: None,
            path: "".into(),
            strip_prefix: false,
            host_header: HostHeader::Keep,
            upstreams: vec![upstream],
            allowed_origins: None,
            client_policy: None,
            upstream_policy: None,
            connect_timeout: Micros::from_secs(3),
            answer_timeout: Micros::from_secs(10),
            max_message_bytes: 0,
            balance: Balance::LeastConnections,
            sticky: None,
            slow_start: Micros::from_secs(30),
            max_dialing: 200,
            health: None,
            source_addresses: Vec::new(),
            max_age: None,
            identity: None,
            auth: RouteAuth::None,
            flapping_limit: 0,
            pulse: false,
            accept_per_second: 5_000,
        }],
        forwarded_https: false,
        http_pass: true,
    };
    assert_eq!(settings.bridge, Some(bridge));
    let sessions = SessionLimits {
        hold: Micros::from_secs(60),
        holds_max: 20_000,
        hold_bytes_max: 64 << 20,
        holds_per_identity: 8,
        session_max: Micros::from_secs(3_600),
    };
    assert_eq!(settings.sessions, sessions);
    assert!(!settings.serves_relay);
    assert_eq!(settings.drain, Micros::from_secs(30));
    assert_eq!(&*settings.health_path, "/.well-known/pulsegate/health");
    let given = run(
        "--upstream http://a --drain-ms 1 --health-path /healthz",
        &[],
    );
    assert_eq!(given.drain, Micros::from_millis(1));
    assert_eq!(&*given.health_path, "/healthz");
}

/// The values of [`GIVEN`], without those that name a file with content that matters.
fn given() -> impl Iterator<Item = &'static (&'static str, &'static str)> + Clone {
    GIVEN.iter().filter(|(name, _)| !is_path(name))
}

/// Returns the settings with each value of [`given`] from its variable.
fn read_from_variables() -> Settings {
    let pairs: Vec<String> = given().map(|(name, v)| format!("{name}={v}")).collect();
    let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
    run("", &pairs)
}

/// Returns the settings that [`given`] describes.
fn wanted() -> Settings {
    let mut wanted = read_from_variables();
    set_policies(&mut wanted);
    set_bridge(&mut wanted);
    set_listeners(&mut wanted);
    set_relay(&mut wanted);
    set_limits(&mut wanted);
    wanted.stats_interval = Micros::from_millis(501);
    wanted.config_watch = true;
    wanted.drain_delay = Micros::from_millis(12);
    wanted.drain = Micros::ZERO;
    wanted.alerts = alerts();
    wanted.log_level = LevelFilter::Debug;
    wanted.log_json = true;
    wanted
}

fn set_policies(wanted: &mut Settings) {
    let policy = |interval, timeout| Policy {
        heartbeat_interval: Micros::from_millis(interval),
        connection_timeout: Micros::from_millis(timeout),
        close_timeout: Micros::from_millis(701),
        mode: HeartbeatMode::Idle,
        late: false,
        ..Policy::default()
    };
    wanted.glasses = Policy {
        alive_by: AliveBy::Pong,
        ..policy(1_002, 3_002)
    };
    wanted.app = Policy {
        first_message_timeout: Some(Micros::from_millis(801)),
        first_message_bytes: Some(4 * 1024),
        alive_by: AliveBy::Data,
        ..policy(1_003, 3_003)
    };
    let reported = |policy, alive_by| Policy {
        when_stale: StaleAction::Report,
        alive_by,
        ..policy
    };
    wanted.client = reported(policy(1_001, 3_001), AliveBy::Data);
    wanted.upstream = reported(policy(1_004, 3_004), AliveBy::Pong);
}

fn set_bridge(wanted: &mut Settings) {
    let upstream = WeightedUpstream::parse("ws://[::1]:3000").expect("a location");
    wanted.bridge = Some(BridgeSettings {
        routes: vec![Route {
            host_header: HostHeader::parse("Chat.example.org:81").expect("a name"),
            connect_timeout: Micros::from_millis(301),
            answer_timeout: Micros::from_millis(302),
            max_message_bytes: 90_000,
            pulse: true,
            accept_per_second: 315,
            ..Route::to("default", vec![upstream])
        }],
        forwarded_https: true,
        http_pass: false,
    });
    wanted.http = HttpSettings {
        head_max: 1_024,
        head_timeout: Duration::from_millis(601),
        answer_timeout: Duration::from_millis(306),
        body_idle: Duration::from_millis(307),
        keep_alive: Duration::from_millis(308),
        upstream_keep_alive: Duration::from_millis(309),
        max_requests: 310,
    };
    wanted.sessions = SessionLimits {
        hold: Micros::from_millis(311),
        holds_max: 312,
        hold_bytes_max: 70_001,
        holds_per_identity: 313,
        session_max: Micros::from_millis(314),
    };
    wanted.client_reports = ReportMode::Count;
    wanted.link_slow_after = Micros::from_millis(401);
    wanted.health_path = "/health".into();
    wanted.ready_needs_upstream = true;
}

fn set_listeners(wanted: &mut Settings) {
    wanted.listen_addr = addr("[::]:9000");
    wanted.allow_unauthenticated = true;
    wanted.reuse_port = true;
    wanted.admin_addr = Some(addr("[::]:9003"));
    wanted.admin_hosts = ["gateway.example.org", "pulsegate"].map(Box::from).to_vec();
    wanted.jwt_leeway = Micros::ZERO;
    let origins = [
        "https://app.example.org",
        "http://localhost:3000",
        "file://",
    ];
    wanted.allowed_origins = origins.map(|o| WebOrigin::parse(o).unwrap()).to_vec();
    wanted.proxy_protocol = ProxyProtocol::V2;
    let proxies = ["10.0.0.0/8", "192.168.1.1/32", "fd00::1/128"];
    wanted.trusted_proxies = proxies.map(|network| network.parse().unwrap()).to_vec();
    wanted.subprotocols =
        [&["v2.glasses", "v1.glasses"][..], &["apps"]].map(|names| Subprotocols {
            accepted: only(names),
            required: true,
        });
}

fn set_relay(wanted: &mut Settings) {
    wanted.apps = None;
    wanted.app_admission = Admission::Key;
    wanted.glasses_grace = Micros::ZERO;
    wanted.app_grace = Micros::from_millis(1);
    wanted.replay = ReplayLimits {
        max_messages: 0,
        max_bytes: 0,
        max_age: Micros::ZERO,
    };
    wanted.replay_skip = ["VAD", "transcription:en-US"].map(Box::from).to_vec();
    wanted.replay_unconfirmed = true;
    wanted.glasses_connection_state = true;
    wanted.events_url = Some(WebhookUrl::new(EVENTS_URL));
    wanted.events_kept = 101;
    wanted.flapping_limit = 0;
    wanted.app_websocket_url = Some("wss://gateway.example.org/gate/app-ws?x=1".to_owned());
    wanted.webhook_timeout = Micros::from_millis(901);
    let allowed = ["203.0.113.0/24", "192.168.1.1/32"];
    wanted.webhook_allow = Some(allowed.map(|network| network.parse().unwrap()).to_vec());
    wanted.state_file = None;
}

fn set_limits(wanted: &mut Settings) {
    wanted.handshake_timeout = Micros::from_millis(601);
    wanted.max_connections = Some(77);
    wanted.max_head_bytes = 1_024;
    wanted.max_message_bytes = 70_000;
    wanted.max_pending_bytes = 70_015;
    wanted.slow_after = Micros::from_millis(1_234);
    wanted.max_buffered_bytes = Some(70_020);
    wanted.stale_closes_per_second = 0;
    wanted.cadence = Some(AdaptiveCadence {
        interval_max: Micros::from_millis(101_001),
        detect_within: Micros::from_millis(101_002),
    });
    wanted.cadence_file = None;
}

fn alerts() -> AlertSettings {
    AlertSettings {
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
        fleet_late: false,
        cohort_late: 38,
        rtt_p99: Micros::from_millis(24),
        rtt_for: Micros::from_millis(25),
        flapping: 26,
        flapping_for: Micros::from_millis(27),
        app_down: false,
        app_down_for: Micros::from_millis(28),
        verdict_jump: 30,
        persistent_trouble: 37,
        stalls: 29,
        capacity_percent: 35,
        refused: 36,
        capped_by_descriptors: false,
        fds_percent: 30,
        ports_percent: 29,
        memory_percent: 31,
        limits_for: Micros::from_millis(32),
        storm_percent: 33,
        storm_for: Micros::from_millis(34),
    }
}

fn flag_of(name: &str) -> String {
    format!("--{}", name.to_lowercase().replace('_', "-"))
}

#[test]
fn every_setting_of_the_table_is_given_here() {
    assert_eq!(
        GIVEN.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        SETTINGS.iter().map(|s| s.name).collect::<Vec<_>>(),
    );
}

#[test]
fn every_setting_reaches_its_field_from_the_variable() {
    let (read, wanted) = (read_from_variables(), wanted());
    assert_eq!(read, wanted);
    assert_eq!(read.admin_token.as_ref().map(Secret::expose), Some(TOKEN));
    let secret = read.auth_jwt_secret.as_ref();
    assert_eq!(secret.map(Secret::expose), Some(SECRET));
    let key = read.events_secret.as_ref();
    assert_eq!(key.map(Secret::expose), Some(EVENTS_SECRET));
    assert_eq!(
        read.relay_settings(),
        RelaySettings {
            glasses_grace: wanted.glasses_grace,
            overlap: wanted.drain_delay + wanted.drain,
            app_grace: wanted.app_grace,
            replay: wanted.replay,
            replay_skip: wanted.replay_skip.clone(),
            replay_unconfirmed: true,
            glasses_connection_state: true,
            flapping_limit: 0,
            pulse: wanted.pulse,
            accept_per_second: wanted.accept_per_second,
            subprotocols: wanted.subprotocols.clone(),
        }
    );
}

#[test]
fn every_setting_but_a_secret_reaches_its_field_from_the_flag() {
    let wanted = wanted();
    let secrets = HashMap::from([
        ("AUTH_JWT_SECRET", SECRET),
        ("ADMIN_TOKEN", TOKEN),
        ("ALERT_WEBHOOK_URL", ALERT_URL),
        ("EVENTS_URL", EVENTS_URL),
        ("EVENTS_SECRET", EVENTS_SECRET),
    ]);
    let flags = given().filter(|(name, _)| !is_secret(name));
    for between in [" ", "="] {
        let flags = flags.clone().flat_map(|(name, value)| {
            let flag = flag_of(name) + between + value;
            // A value may contain a space.
            let split = if between == " " { 2 } else { 1 };
            flag.splitn(split, ' ')
                .map(OsString::from)
                .collect::<Vec<_>>()
        });
        let read = load(flags, |name| secrets.get(name).map(OsString::from));
        assert_eq!(read, Ok(CliAction::Run(wanted.clone())));
    }
    for setting in SETTINGS {
        let flag = (!is_secret(setting.name)).then(|| flag_of(setting.name));
        assert_eq!(setting.flag(), flag);
    }
}

#[test]
fn every_setting_reaches_its_field_from_the_file() {
    let wanted = wanted();
    let folder = Folder::new();
    for lower in [false, true] {
        let lines = given().map(|(name, value)| {
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

fn only(names: &[&str]) -> AcceptedSubprotocols {
    AcceptedSubprotocols::Only(names.iter().map(|name| Box::from(*name)).collect())
}
