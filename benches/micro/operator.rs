//! The cost of operators for the loop, with 18 000 connections and with sessions of 1 000 apps.
//!
//! Each call here is one slice; the queue runs as many in a turn as are sure to stay within its
//! budget. The work units that a slice counts are printed beside its worst time. So the costs in
//! the sources can be compared with real times.

use criterion::{Criterion, criterion_group, criterion_main};
use pulsegate::gateway::{
    Admission, AppRegistry, CohortFilter, CohortScan, Credentials, Filter, GLASSES, Gateway,
    GatewayOptions, PageRequest, ProxyProtocol, RELAY_CLASSES, Reconfiguration, RelaySettings,
    ReportMode, Search, Sort,
};
use pulsegate::testing::{Net, upgrade_request};
use pulsegate::{ClassConfig, Config, ConnId, Io, Message, Micros, Policy};
use std::hint::black_box;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 18_000;

/// The users with many apps, and the number of apps of each.
const USERS: usize = 30;
const APPS: usize = 1_000;

fn config() -> Config {
    let classes = RELAY_CLASSES.map(|info| ClassConfig {
        name: info.name.to_owned(),
        policy: Policy::default(),
    });
    Config {
        classes: classes.to_vec(),
        max_buffered_bytes: 4 << 30,
        ..Config::default()
    }
}

fn empty(credentials: Credentials, restored: Vec<(Box<str>, Vec<Box<str>>)>) -> Net<Gateway> {
    let gateway = Gateway::new(GatewayOptions {
        stats_interval: Micros::from_secs(86_400),
        log_dropped: Box::new(|| 0),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        max_connections: 100_000,
        watchdog: None,
        relay: RelaySettings::default(),
        credentials,
        client_reports: ReportMode::Off,
        restored,
        health_path: "/healthz".into(),
        serves_relay: true,
        bridge: None,
        products: Vec::new(),
    });
    let mut net = Net::new(config(), gateway);
    net.with_io(Gateway::start);
    net
}

fn net() -> Net<Gateway> {
    let mut net = empty(Credentials::default(), Vec::new());
    for i in 0..CONNECTIONS {
        // As many cohorts as there may be.
        let [.., high, low] = (i % 4_096).to_be_bytes();
        let peer = net.open_socket_from([10, high, low, 1].into());
        // Their order in memory differs from that of their names.
        let user = i * 7_919 % CONNECTIONS;
        let request = upgrade_request(&format!("/glasses-ws?user=user-{user}@example.org"));
        net.write(peer, request.as_bytes());
    }
    net.settle();
    net.advance(16_000);
    net
}

/// Users with 1 000 connected apps each; every app has 64 subscriptions.
fn crowded() -> Net<Gateway> {
    let mut net = empty(Credentials::default(), Vec::new());
    let names: Vec<String> = (0..64)
        .map(|n| format!("\"stream_with_a_name_{n}\""))
        .collect();
    let names = names.join(",");
    for nth in 0..USERS * APPS {
        // Their order in memory differs from that of their names.
        let nth = nth * 7_919 % (USERS * APPS);
        let (user, app) = (nth / APPS, nth % APPS);
        let path = format!("/tpa-ws?user=user-{user}&package=com.example.package.{app}");
        let app = net.connect(&path);
        let update = format!(r#"{{"type":"subscription_update","subscriptions":[{names}]}}"#);
        net.send(app, Message::text(update));
    }
    net.settle();
    net
}

/// Returns apps with these numbers, without webhooks.
fn credentials(apps: std::ops::Range<usize>) -> Credentials {
    let app = |n| {
        format!(
            r#"{{"package":"com.example.package.{n}","api_key":"k","webhook_url":"http://127.0.0.1:9/"}}"#
        )
    };
    let json: Vec<String> = apps.map(app).collect();
    let apps = AppRegistry::parse(format!("[{}]", json.join(",")).as_bytes()).expect("apps");
    let secret = "a-secret-that-nobody-knows-anywhere";
    Credentials::new(Some(secret), Some(apps), Admission::Key, Vec::new())
}

/// Measures the worst time of a slice, and the most units that it counts.
fn worst(
    what: &str,
    net: &mut Net<Gateway>,
    mut slice: impl FnMut(&mut Gateway, &mut Io<'_>) -> bool,
) {
    let (mut time, mut sum, mut units, mut slices) = (Duration::ZERO, Duration::ZERO, 0, 0u32);
    loop {
        let (took, counted, more) = net.with_io(|gateway, io| {
            let (began, before) = (Instant::now(), io.stats().work_units);
            let more = slice(gateway, io);
            (began.elapsed(), io.stats().work_units - before, more)
        });
        (time, units, sum, slices) = (time.max(took), units.max(counted), sum + took, slices + 1);
        if !more {
            break;
        }
    }
    let mean = sum / slices;
    println!(
        "{what}: {slices} slices, the worst {time:.0?}, on average {mean:.0?}; at most {units} \
         units"
    );
}

fn crowd(c: &mut Criterion) {
    let mut net = crowded();
    let mut group = c.benchmark_group("sessions of 1000 apps");
    group.bench_function("one slice of sessions", |b| {
        b.iter(|| {
            net.with_io(|gateway, io| black_box(gateway.session_slice(io, Some("user-1"), 1_000)))
        });
    });
    group.bench_function("one slice of a session", |b| {
        b.iter(|| {
            net.with_io(|gateway, io| {
                black_box(gateway.app_slice(io, "user-1", Some("com.example.package.4"), 1_000))
            })
        });
    });
    group.finish();
    let mut after: Option<Box<str>> = None;
    worst("sessions of 1000 apps", &mut net, |gateway, io| {
        let slice = gateway.session_slice(io, after.as_deref(), 1_000);
        after = slice.rows.last().map(|row| row.user.clone());
        slice.more
    });
    let mut after: Option<Box<str>> = None;
    worst("a session of 1000 apps", &mut net, |gateway, io| {
        let row = gateway
            .app_slice(io, "user-1", after.as_deref(), 1_000)
            .expect("it is there");
        after = row.apps.last().map(|row| row.package.clone());
        row.more_apps
    });
}

/// A reload that removes half of the apps from the list.
fn reload() {
    let packages: Vec<Box<str>> = (0..APPS)
        .map(|n| format!("com.example.package.{n}").into())
        .collect();
    let users = (0..USERS).map(|user| (format!("user-{user}").into(), packages.clone()));
    let mut net = empty(credentials(0..APPS), users.collect());
    net.with_io(|gateway, io| {
        let newer = Reconfiguration {
            engine: config(),
            max_connections: 100_000,
            stats_interval: Micros::from_secs(86_400),
            trusted_proxies: Vec::new(),
            serves_relay: true,
            routes: None,
            drain: Micros::ZERO,
            sessions: Default::default(),
            relay: RelaySettings::default(),
            credentials: credentials(0..APPS / 2),
            client_reports: ReportMode::Off,
        };
        gateway.reconfigure(io, newer).expect("valid settings");
    });
    let (mut time, mut most, mut turns, mut idle) = (Duration::ZERO, 0, 0, 0);
    while idle < 3 {
        let before = net.with_io(|_, io| io.stats().work_units);
        let began = Instant::now();
        net.run_turn();
        time = time.max(began.elapsed());
        let units = net.with_io(|_, io| io.stats().work_units) - before;
        most = most.max(units);
        (turns, idle) = if units == 0 {
            (turns, idle + 1)
        } else {
            (turns + 1, 0)
        };
    }
    println!(
        "a reload that stops {} apps: {turns} turns, the worst {time:.0?}; at most {most} units",
        USERS * APPS / 2
    );
}

fn operator(c: &mut Criterion) {
    reload();
    crowd(c);
    let mut net = net();
    let mut group = c.benchmark_group("operator");
    group.bench_function("a scrape's snapshot", |b| {
        b.iter(|| net.with_io(|gateway, io| black_box(gateway.snapshot(io))));
    });
    group.bench_function("one slice of a search", |b| {
        let query = || PageRequest {
            filter: Filter::default(),
            sort: Sort::Rtt,
            limit: 1_000,
            ..PageRequest::default()
        };
        let mut search = Search::new(query());
        b.iter(|| {
            let page = net.with_io(|gateway, io| search.step(gateway, io));
            if black_box(page).is_some() {
                search = Search::new(query());
            }
        });
    });
    group.bench_function("one connection explained", |b| {
        let id: ConnId = net
            .with_io(|_, io| io.id_in_slot(9_000))
            .expect("a connection");
        b.iter(|| net.with_io(|gateway, io| black_box(gateway.inspect(io, id))));
    });
    group.bench_function("one slice of sessions", |b| {
        b.iter(|| {
            net.with_io(|gateway, io| black_box(gateway.session_slice(io, Some("user-5"), 1_000)))
        });
    });
    group.finish();
    for sort in [
        Sort::Rtt,
        Sort::Silence,
        Sort::Age,
        Sort::Pending,
        Sort::Risk,
    ] {
        let mut search = Search::new(PageRequest {
            sort,
            limit: 1_000,
            ..PageRequest::default()
        });
        worst(&format!("a search by {sort:?}"), &mut net, |gateway, io| {
            search.step(gateway, io).is_none()
        });
    }
    let mut search = Search::new(PageRequest {
        filter: Filter {
            user: Some("nobody".to_owned()),
            ..Filter::default()
        },
        limit: 1_000,
        ..PageRequest::default()
    });
    worst("a search for a user", &mut net, |gateway, io| {
        search.step(gateway, io).is_none()
    });
    let mut scan = CohortScan::new(CohortFilter::default());
    worst("cohorts", &mut net, |_, io| scan.step(io).is_none());
    let mut after: Option<Box<str>> = None;
    worst("sessions", &mut net, |gateway, io| {
        let slice = gateway.session_slice(io, after.as_deref(), 1_000);
        after = slice.rows.last().map(|row| row.user.clone());
        slice.more
    });
    for nth in 0..1_000 {
        let id: ConnId = net
            .with_io(|_, io| io.id_in_slot(nth))
            .expect("a connection");
        net.with_io(|gateway, io| gateway.kick(io, id, "bench", Micros::from_secs(3_600)));
    }
    let mut after = None;
    worst("blocks", &mut net, |gateway, io| {
        let slice = gateway.block_slice(io, after, 1_000);
        after = slice.blocks.last().map(|(place, _)| *place);
        slice.more
    });
    worst(
        "the first step of a class drain",
        &mut net,
        |gateway, io| {
            gateway.drain_class(io, GLASSES, Micros::ZERO, Micros::ZERO);
            false
        },
    );
}

criterion_group!(benches, operator);
criterion_main!(benches);
