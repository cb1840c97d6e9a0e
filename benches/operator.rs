//! What operators cost the loop at 18 000 connections: each call here is what one turn does for one request at most.

use criterion::{Criterion, criterion_group, criterion_main};
use pulsegate::engine::testing::Net;
use pulsegate::gateway::{
    CLASS_NAMES, Credentials, Filter, Gateway, Options, ProxyProtocol, Query, RelaySettings,
    Search, Sort,
};
use pulsegate::{ClassConfig, Config, ConnId, Micros, Policy};
use std::hint::black_box;

const CONNECTIONS: usize = 18_000;

fn net() -> Net<Gateway> {
    let classes = CLASS_NAMES.map(|name| ClassConfig {
        name: name.to_owned(),
        policy: Policy::default(),
    });
    let config = Config {
        classes: classes.to_vec(),
        ..Config::default()
    };
    let gateway = Gateway::new(Options {
        stats_interval: Micros::from_secs(86_400),
        log_dropped: Box::new(|| 0),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        max_connections: CONNECTIONS,
        watchdog: None,
        relay: RelaySettings::default(),
        credentials: Credentials::default(),
        restored: Vec::new(),
    });
    let mut net = Net::new(config, gateway);
    for i in 0..CONNECTIONS {
        // Their order in memory is not that of their names.
        net.connect(&format!(
            "/glasses-ws?user=user-{}@example.org",
            i * 7_919 % CONNECTIONS
        ));
    }
    net.advance(16_000);
    net
}

fn operator(c: &mut Criterion) {
    let mut net = net();
    let mut group = c.benchmark_group("operator");
    group.bench_function("a scrape's snapshot", |b| {
        b.iter(|| net.with_io(|gateway, io| black_box(gateway.snapshot(io))));
    });
    group.bench_function("one slice of a search", |b| {
        let query = || Query {
            filter: Filter::default(),
            sort: Sort::Rtt,
            limit: 1_000,
            ..Query::default()
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
        let id: ConnId = net.with_io(|_, io| io.in_slot(9_000)).expect("somebody");
        b.iter(|| net.with_io(|gateway, io| black_box(gateway.portrait(io, id))));
    });
    group.bench_function("one slice of sessions", |b| {
        b.iter(|| {
            net.with_io(|gateway, _| {
                let (sessions, _) = gateway.sessions_after(Some("user-5"));
                black_box(
                    sessions
                        .take(256)
                        .map(|(user, _)| user.len())
                        .sum::<usize>(),
                )
            })
        });
    });
    group.finish();
}

criterion_group!(benches, operator);
criterion_main!(benches);
