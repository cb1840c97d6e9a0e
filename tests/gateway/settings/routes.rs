//! Routes in the settings file: what they mean, what is wrong with them, and what a reload changes.

use super::loading::{fault_of, faults_of, faults_with_lines, printed_with_file, run_with_file};
use super::printing::assert_in_docs;
use pulsegate::config::{ROUTE_FIELDS, RouteChange, Settings, route_table};
use pulsegate::gateway::{
    Balance, HostHeader, Route, RouteAuth, RouteHealth, RouteIdentity, SameSite, SecureCookie,
    StickyCookie, WebOrigin, WeightedUpstream,
};
use pulsegate::health::{AliveBy, Policy, StaleAction};
use pulsegate::time::Micros;

/// A route with every field.
const FULL: &str = r#"
[[route]]
name = "chat-1"
path = "/chat/"
host = "Chat.example.org"
upstream = ["http://127.0.0.1:3000 weight=3", "unix:/run/chat.sock"]
strip_prefix = true
host_header = "upstream"
allowed_origins = ["https://app.example.org"]
heartbeat_interval_ms = 1001
connection_timeout_ms = "4s"
client_judge = "report"
alive_by = "data"
late = false
upstream_heartbeat_interval_ms = 1002
upstream_connection_timeout_ms = 5002
upstream_judge = "report"
upstream_alive_by = "pong"
upstream_late = false
connect_timeout_ms = 303
answer_timeout_ms = 304
max_message_bytes = 70000
balance = "hash:query:user"
sticky = "cookie:route"
sticky_same_site = "strict"
sticky_secure = "always"
slow_start_ms = 305
max_dialing = 306
max_age_ms = 307
health_path = "/up"
health_interval_ms = 1308
health_timeout_ms = 309
source_addresses = ["10.0.0.1", "::1"]
auth = "jwt"
identity = "jwt:sub"
flapping_limit = 310
pulse = true
accept_per_second = 311
"#;

const SHORT: &str = "[[route]]\nname = 'a'\nupstream = 'http://a'\n";

fn routes(settings: &Settings) -> &[Route] {
    &settings.bridge.as_ref().expect("routes").routes
}

fn upstream(text: &str) -> WeightedUpstream {
    WeightedUpstream::parse(text).expect("an upstream")
}

#[test]
fn every_field_reaches_the_route() {
    let settings = run_with_file(format!(
        "auth_jwt_secret = 'a-s3cret-of-ours'\nclose_timeout_ms = 701\n{FULL}"
    ));
    let policy = |interval, timeout, alive_by| Policy {
        heartbeat_interval: Micros::from_millis(interval),
        connection_timeout: Micros::from_millis(timeout),
        close_timeout: Micros::from_millis(701),
        when_stale: StaleAction::Report,
        alive_by,
        late: false,
        ..Policy::default()
    };
    let wanted = Route {
        name: "chat-1".into(),
        host: Some("chat.example.org".into()),
        path: "/chat".into(),
        strip_prefix: true,
        host_header: HostHeader::Upstream,
        upstreams: vec![
            upstream("http://127.0.0.1:3000 weight=3"),
            upstream("unix:/run/chat.sock"),
        ],
        allowed_origins: Some(vec![
            WebOrigin::parse("https://app.example.org").expect("an origin"),
        ]),
        client_policy: Some(policy(1_001, 4_000, AliveBy::Data)),
        upstream_policy: Some(policy(1_002, 5_002, AliveBy::Pong)),
        connect_timeout: Micros::from_millis(303),
        answer_timeout: Micros::from_millis(304),
        max_message_bytes: 70_000,
        balance: Balance::parse("hash:query:user").expect("a rule"),
        sticky: Some(StickyCookie {
            name: "route".into(),
            same_site: SameSite::Strict,
            secure: SecureCookie::Always,
        }),
        slow_start: Micros::from_millis(305),
        max_dialing: 306,
        health: Some(RouteHealth {
            path: "/up".into(),
            interval: Micros::from_millis(1308),
            timeout: Micros::from_millis(309),
        }),
        source_addresses: ["10.0.0.1", "::1"]
            .map(|ip| ip.parse().expect("an address"))
            .to_vec(),
        max_age: Some(Micros::from_millis(307)),
        auth: RouteAuth::Jwt,
        identity: RouteIdentity::parse("jwt:sub"),
        flapping_limit: 310,
        pulse: true,
        accept_per_second: 311,
    };
    assert_eq!(routes(&settings), [wanted]);
    assert!(settings.serves_relay, "it takes the other paths");
    for field in ROUTE_FIELDS {
        assert!(
            FULL.contains(&format!("{} = ", field.name)),
            "{}",
            field.name
        );
    }
}

#[test]
fn a_short_route_has_the_general_values() {
    let general = "upstream_host_header = 'h:1'\nupstream_connect_timeout_ms = 401\n\
                   upstream_answer_timeout_ms = 402\nupstream_max_message_bytes = 403\n";
    let settings = run_with_file(format!("{general}{SHORT}"));
    let wanted = Route {
        host_header: HostHeader::parse("h:1").expect("a name"),
        connect_timeout: Micros::from_millis(401),
        answer_timeout: Micros::from_millis(402),
        max_message_bytes: 403,
        ..Route::to("a", vec![upstream("http://a")])
    };
    // Without a policy of its own: each leg has that of its class.
    assert_eq!(routes(&settings), [wanted]);
    assert_eq!(settings.drain, Micros::from_secs(30));
    assert_eq!(&*settings.health_path, "/.well-known/pulsegate/health");
    assert!(!settings.serves_relay, "it takes all paths");
}

#[test]
fn a_cookie_and_a_health_check_need_no_further_fields() {
    let settings = run_with_file(format!("{SHORT}sticky = 'cookie:gw'\nhealth_path = '/h'\n"));
    let route = &routes(&settings)[0];
    let sticky = route.sticky.as_ref().expect("a cookie");
    assert_eq!(sticky.same_site, SameSite::Lax);
    assert_eq!(sticky.secure, SecureCookie::Auto);
    let health = route.health.as_ref().expect("a check");
    assert_eq!(health.interval, Micros::from_secs(5));
    assert_eq!(health.timeout, Micros::from_secs(2));
}

#[test]
fn pings_to_a_service_may_be_off_for_one_route() {
    let settings = run_with_file(format!("{SHORT}upstream_heartbeat_interval_ms = 0\n"));
    let policy = routes(&settings)[0].upstream_policy.expect("its own");
    assert!(policy.heartbeat_interval > Micros::from_secs(24 * 3_600));
    assert!(policy.connection_timeout > policy.heartbeat_interval);
}

#[test]
fn a_host_may_be_an_ip_address() {
    for (given, host) in [
        ("192.0.2.1", Some("192.0.2.1")),
        ("[::1]", Some("[::1]")),
        ("[2001:DB8:0:0::1]", Some("[2001:db8::1]")),
        ("::1", None),
        ("[::1]:80", None),
        ("[fe80::1%eth0]", None),
        ("[192.0.2.1]", None),
    ] {
        let lines = format!("{SHORT}host = '{given}'");
        match host {
            Some(host) => {
                let settings = run_with_file(lines);
                assert_eq!(routes(&settings)[0].host.as_deref(), Some(host));
            }
            None => assert!(fault_of(lines).contains("such as chat.example.org or [::1]")),
        }
    }
}

#[test]
fn the_relay_keeps_its_paths_unless_a_route_takes_all() {
    for (place, serves_relay) in [
        ("path = '/a'", true),
        ("host = 'h'", true),
        ("path = '/'", false),
        ("", false),
    ] {
        let settings = run_with_file(format!("{SHORT}{place}"));
        assert_eq!(settings.serves_relay, serves_relay, "{place}");
        let seconds = if serves_relay { 1 } else { 30 };
        assert_eq!(settings.drain, Micros::from_secs(seconds), "{place}");
    }
    let both = run_with_file(format!("upstream = 'http://b'\n{SHORT}path = '/a'"));
    let names: Vec<&str> = routes(&both).iter().map(|route| &*route.name).collect();
    assert_eq!((names, both.serves_relay), (vec!["a", "default"], false));
    // Then nothing of the gateway itself needs credentials.
    run_with_file(format!("listen_addr = '0.0.0.0:0'\n{SHORT}"));
    let open = fault_of(format!("listen_addr = '0.0.0.0:0'\n{SHORT}path = '/a'"));
    assert!(open.contains("must be a loopback address"), "{open}");
}

#[test]
fn every_fault_of_a_route_is_told_with_the_route_the_field_and_what_is_allowed() {
    let wrong = "[[route]]\npath = 'x'\nhost = 'a:1'\nupstream = 3\nstrip_prefix = 'yes'\n\
                 heartbeat_interval_ms = 5\npaths = '/'\n\
                 [[route]]\nname = 'B'\nupstream = ['https://a', 'http://b']\nhost_header = ''\n\
                 allowed_origins = '*'\nclient_judge = 'kill'\nalive_by = 'ping'\nmax_age = 5\n";
    let faults = faults_of(wrong);
    let expected = [
        (
            "route 1 (file): \"paths\" is unknown; did you mean path? ",
            "docs/",
        ),
        ("route \"B\" (file): \"max_age\" is unknown; ", "docs/"),
        (
            "route 1 (file): name is missing; it must be up to 64 ",
            "no two",
        ),
        (
            "route 1 (file): path=\"x\": did you mean /x? (allowed: a path that begins",
            "?",
        ),
        (
            "route 1 (file): host=\"a:1\": did you mean a? (allowed: a host name or IP address",
            "",
        ),
        (
            "route 1 (file): upstream is an integer; it must be 1 to",
            "weight",
        ),
        (
            "route 1 (file): strip_prefix is a string; it must be 0, 1",
            "",
        ),
        (
            "route 1 (file): heartbeat_interval_ms=\"5\": must be ",
            "10 to",
        ),
        (
            "route \"B\" (file): name=\"B\": did you mean b? (allowed: up to 64 lower-case",
            "",
        ),
        (
            "route \"B\" (file): upstream=\"https://a,http://b\": \"https://a\" asks for TLS, ",
            "http://",
        ),
        (
            "route \"B\" (file): host_header=\"\": must be keep, upstream",
            "",
        ),
        (
            "route \"B\" (file): allowed_origins=\"*\": must be up to 64",
            "",
        ),
        (
            "route \"B\" (file): client_judge=\"kill\": must be close or",
            "report",
        ),
        (
            "route \"B\" (file): alive_by=\"ping\": ",
            "any, data or pong",
        ),
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, (start, part)) in faults.iter().zip(expected) {
        assert!(fault.starts_with(start) && fault.contains(part), "{fault}");
    }
}

#[test]
fn a_fault_names_its_line_and_the_mistake() {
    let file = "log_levl = 'info'\nnam = 'x'\npath = '/'\n\n[[route]]\nnam = 'chat'\n\
                upstream = ['http://a', \n'http://a']\n[[routes]]\nname = 'b'\npath = '/star/*'\n\
                upstream = 'https://b'\nweight = 3\n";
    let faults = faults_with_lines(file);
    let expected = [
        "\"log_levl\" (FILE:1): is unknown; did you mean log_level? ",
        "\"nam\" (FILE:2): is unknown; did you mean the field name of a route, below [[route]]?",
        "\"path\" (FILE:3): is unknown; it is a field of a route, and must stand below [[route]]",
        "route 1 (FILE:6): \"nam\" is unknown; did you mean name? ",
        "\"routes\" (FILE:9): is a table; did you mean [[route]]? ",
        "route \"b\" (FILE:13): \"weight\" is unknown; a weight stands behind the URL: ",
        "route 1 (FILE:5): name is missing; it must be ",
        "route 1 (FILE:7): upstream=\"http://a,http://a\": \"http://a\" is given twice; ",
        "route \"b\" (FILE:11): path=\"/star/*\": a path is no pattern, and serves everything \
         below it, too; write \"/star\" (allowed: a path that begins with a slash, ",
        "route \"b\" (FILE:12): upstream=\"https://b\": \"https://b\" asks for TLS, ",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, start) in faults.iter().zip(expected) {
        assert!(fault.starts_with(start), "{fault}");
    }
}

#[test]
fn a_service_must_not_be_the_gateway_itself() {
    let own = "listen_addr = '127.0.0.1:8102'\nadmin_addr = '[::1]:9102'\n";
    for (upstream, setting) in [
        (
            "http://localhost:8102",
            "LISTEN_ADDR, which is 127.0.0.1:8102 (file)",
        ),
        (
            "http://0.0.0.0:8102",
            "LISTEN_ADDR, which is 127.0.0.1:8102 (file)",
        ),
        (
            "http://LOCALHOST:9102",
            "ADMIN_ADDR, which is [::1]:9102 (file)",
        ),
        ("ws://[::1]:9102", "ADMIN_ADDR, which is [::1]:9102 (file)"),
    ] {
        let route = format!("[[route]]\nname = 'a'\nupstream = ['http://b', '{upstream}']\n");
        let told = fault_of(format!("{own}{route}"));
        let why = format!(
            "must be another address than {setting}: {upstream} reaches it, and it would dial \
             itself"
        );
        assert!(told.starts_with("route \"a\" (file): upstream="), "{told}");
        assert!(told.ends_with(&why), "{told}");
        let told = fault_of(format!("{own}upstream = '{upstream}'\n"));
        assert!(
            told.starts_with("UPSTREAM=") && told.ends_with(&why),
            "{told}"
        );
    }
    run_with_file(format!("{own}upstream = 'http://localhost:3000'\n"));
}

#[test]
fn routes_must_be_tables_and_fit_each_other() {
    let form = "; it must be tables, each under a line [[route]]";
    assert_eq!(
        fault_of("route = 'a'"),
        format!("\"route\" (file): is a string{form}")
    );
    assert_eq!(
        fault_of("[route]\nname = 'a'"),
        format!("\"route\" (file): is a table{form}")
    );
    let mixed = "an array with items that are not tables";
    assert_eq!(
        fault_of("route = [1]"),
        format!("\"route\" (file): is {mixed}{form}")
    );
    for (second, fault) in [
        (
            "name = 'a'\npath = '/x'",
            "route \"a\" (file): name=\"a\": must be another name: an earlier route has this one",
        ),
        (
            "name = 'b'\npath = '/'",
            "route \"b\" (file): path=\"/\": must be another path or host than that of route \"a\"",
        ),
        (
            "name = 'b'\npath = '/y'\nsticky = 'cookie:c'\nsticky_same_site = 'none'\n\
             sticky_secure = 'never'",
            "route \"b\" (file): sticky_secure=\"never\": must be auto or always: browsers drop a \
             cookie with SameSite=None and without Secure",
        ),
        (
            "name = 'b'\npath = '/y'\nconnection_timeout_ms = 15000",
            "route \"b\" (file): connection_timeout_ms=\"15000\": must be more than \
             heartbeat_interval_ms, which is 15000",
        ),
        (
            "name = 'b'\npath = '/y'\nupstream_heartbeat_interval_ms = 95000",
            "route \"b\" (file): upstream_connection_timeout_ms=\"90000\": must be more than \
             upstream_heartbeat_interval_ms, which is 95000",
        ),
    ] {
        let file = format!("{SHORT}[[route]]\nupstream = 'http://b'\n{second}\n");
        assert_eq!(fault_of(file), fault);
    }
    let twice = format!("{SHORT}path = '/x/'\n{SHORT}name = 'b'\npath = '/x'\n");
    let twice = twice.replacen(
        "name = 'a'\nupstream = 'http://a'\nname = 'b'",
        "upstream = 'http://a'\nname = 'b'",
        1,
    );
    assert!(fault_of(twice).contains("than that of route \"a\""));
    let with_upstream = fault_of(format!("upstream = 'http://b'\n{SHORT}"));
    assert!(
        with_upstream.contains("UPSTREAM serves all other requests"),
        "{with_upstream}"
    );
    let named = format!(
        "upstream = 'http://b'\n{}path = '/x'",
        SHORT.replace("'a'", "'default'")
    );
    assert!(fault_of(named).contains("the route of the setting UPSTREAM has this one"));
    let many: String = (0..257)
        .map(|n| format!("[[route]]\nname = 'r{n}'\npath = '/{n}'\nupstream = 'http://a'\n"))
        .collect();
    let told = "\"route\" (file): there are 257; at most 256 are allowed";
    assert_eq!(fault_of(many), told);
}

#[test]
fn print_config_prints_routes_as_comments_with_the_origin_of_each_value() {
    let text = printed_with_file(&format!("auth_jwt_secret = 'a-s3cret-of-ours'\n{FULL}"));
    let text = &text[text.find("# [[route]]").expect("a route")..];
    assert_eq!(text.lines().count(), 1 + ROUTE_FIELDS.len());
    assert!(text.lines().all(|line| line.starts_with("# ")), "{text}");
    assert!(text.contains("# name = \"chat-1\" # file\n"), "{text}");
    assert!(text.contains("# strip_prefix = 1 # file\n"), "{text}");
    let text = printed_with_file(SHORT);
    assert!(text.contains("# path = \"/\" # default\n"), "{text}");
    assert!(text.contains("# host = none # default\n"), "{text}");
    let general = "# heartbeat_interval_ms = 15000 # default: HEARTBEAT_INTERVAL_MS\n";
    assert!(text.contains(general), "{text}");
}

#[test]
fn a_reload_names_the_routes_that_change_and_applies_them() {
    let route = |name: &str, rest: &str| {
        format!("[[route]]\nname = '{name}'\npath = '/{name}'\nupstream = 'http://a'\n{rest}\n")
    };
    let old = run_with_file(route("a", "") + &route("b", "") + &route("c", ""));
    let newer = run_with_file(
        route("d", "") + &route("c", "strip_prefix = true\nhost = 'h'") + &route("a", ""),
    );
    let changes = old.diff(&newer);
    // The name of the file is different, too.
    assert_eq!(
        (changes.applied.len(), &*changes.needs_restart),
        (0, &["CONFIG_FILE"][..])
    );
    let words: Vec<String> = changes.routes.iter().map(ToString::to_string).collect();
    assert_eq!(words, ["-b", "+d", "c:host,strip_prefix"]);
    assert_eq!(old.reloaded(&newer).expect("no fault").bridge, newer.bridge);
    // A general value is a value of the route.
    let general = run_with_file(format!("client_judge = 'report'\n{}", route("a", "")));
    let changes = run_with_file(route("a", "")).diff(&general);
    let changed = RouteChange::Changed("a".into(), vec!["client_judge"]);
    assert_eq!(changes.routes, [changed]);
}

#[test]
fn a_reload_does_not_let_clients_without_a_token_connect_to_a_route() {
    let file = |auth: &str| {
        let secret = "auth_jwt_secret = 'a-s3cret-of-ours'\n";
        run_with_file(format!("{secret}{SHORT}auth = '{auth}'\n"))
    };
    let faults = file("jwt").reloaded(&file("none")).expect_err("a fault");
    let text = faults.to_string();
    assert!(
        text.contains("auth") && text.contains("only a restart does"),
        "{text}"
    );
    assert!(file("none").reloaded(&file("jwt")).is_ok());
}

#[test]
fn a_reload_does_not_let_all_pages_connect_to_a_route() {
    let with = |lines: &str| run_with_file(format!("{SHORT}{lines}"));
    let closed = with("allowed_origins = ['https://a.example']\n");
    let faults = closed.reloaded(&with("")).expect_err("it would be open");
    let told = "settings.toml:1): allowed_origins=\"\": must be given: a reload does not remove \
                it; only a restart does";
    assert!(faults.to_string().contains(told), "{faults}");
    let other = with("allowed_origins = ['https://b.example']\n");
    assert!(closed.reloaded(&other).is_ok());
    assert!(with("").reloaded(&closed).is_ok());
}

/// A file that is something else is not told line by line.
#[test]
fn at_most_a_hundred_faults_are_told() {
    let lines: String = (0..5_000).map(|n| format!("x{n} = 1\n")).collect();
    let faults = super::loading::start_with_file(&lines).expect_err("faults");
    assert_eq!(faults.iter().count(), 100);
    assert!(
        faults
            .to_string()
            .starts_with("at least 100 settings are wrong:")
    );
    let setting = fault_of(format!("{SHORT}log_level = 'warn'\n"));
    let told =
        "\"log_level\" is unknown; it is a setting, and must stand before the first [[route]]";
    assert!(setting.ends_with(told), "{setting}");
}

#[test]
fn the_first_and_the_last_route_wait_for_a_restart() {
    let (none, some) = (run_with_file(""), run_with_file(SHORT));
    for (old, newer) in [(&none, &some), (&some, &none)] {
        let changes = old.diff(newer);
        assert!(changes.routes.is_empty() && changes.needs_restart.contains(&"route"));
        let after = old.reloaded(newer).expect("no fault");
        assert_eq!(after.bridge, old.bridge);
        assert_eq!(after.serves_relay, old.serves_relay);
    }
}

#[test]
fn the_table_of_fields_is_that_of_the_documentation() {
    assert_in_docs("docs/routes.md", "fields", &route_table());
}
