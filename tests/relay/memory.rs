//! The relay charges to the loop what it holds: compares allocated bytes with the counter.

use crate::fleet::{Fleet, button};
use allocation_counter::measure;
use pulsegate::Micros;
use pulsegate::gateway::{Admission, RelaySettings};
use pulsegate::testing::PeerId;
use serde_json::{Value, json};

/// Other memory: tables of the loop, and what the test's peers received.
const SLACK: f64 = 256.0 * 1024.0;

/// Runs `act`, which makes the relay keep memory. Asserts that the additional allocation is at most
/// 1.5 times the charge, and the charge at most 1.1 times the allocation.
#[track_caller]
fn holds(what: &str, fleet: &mut Fleet, act: impl FnOnce(&mut Fleet)) -> i64 {
    let before = fleet.charged();
    let counted = measure(|| act(fleet)).bytes_current;
    let allocated = counted as f64;
    let charged = (fleet.charged() - before) as f64;
    println!(
        "{what}: {allocated} B allocated, {charged} B charged, {:.2}",
        allocated / charged
    );
    assert!(
        charged > 4.0 * SLACK,
        "{what}: {charged} B are too few to tell"
    );
    assert!(
        allocated <= 1.5 * charged + SLACK,
        "{what}: {allocated} B for {charged} B"
    );
    assert!(
        charged <= 1.1 * allocated + SLACK,
        "{what}: {allocated} B for {charged} B"
    );
    counted
}

/// Disconnects all peers, and asserts that nothing is charged any more.
fn all_leave(mut fleet: Fleet) {
    let last = fleet.net.open_socket();
    (0..=last.0).for_each(|n| fleet.net.mute(PeerId(n)));
    fleet.advance(300_000);
    assert_eq!((fleet.sessions(), fleet.charged()), (0, 0));
}

const USERS: usize = 100;

/// Returns users with apps that subscribe to everything, and are lost; long enough ago that nothing
/// else is on its way.
fn lost_apps(each: usize) -> (Fleet, Vec<PeerId>) {
    let settings = RelaySettings {
        app_grace: Micros::from_secs(3_600),
        ..RelaySettings::default()
    };
    let mut fleet = Fleet::with(settings, None);
    let mut glasses = Vec::new();
    for user in 0..USERS {
        let user = format!("user-{user}@example.org");
        glasses.push(fleet.glasses(&user));
        for app in 0..each {
            let app = fleet.app(&user, &format!("org.example.app-{app}"));
            fleet.subscribe(app, &["*"]);
            fleet.net.reset(app);
        }
        fleet.net.settle();
    }
    fleet.advance(1_000);
    (fleet, glasses)
}

fn sent(fleet: &mut Fleet, glasses: &[PeerId], frames: usize, frame: &Value) {
    for _ in 0..frames {
        for glasses in glasses {
            fleet.say(*glasses, frame.clone());
        }
    }
}

#[test]
fn backlogs_of_small_frames() {
    let (mut fleet, glasses) = lost_apps(5);
    holds("256 small frames for each app", &mut fleet, |fleet| {
        sent(fleet, &glasses, 256, &button(1));
    });
    all_leave(fleet);
}

#[test]
fn backlogs_of_tiny_frames() {
    let mut fleet = Fleet::open();
    let apps: Vec<PeerId> = (0..500)
        .map(|user| {
            let user = format!("user-{user}@example.org");
            let glasses = fleet.glasses(&user);
            let app = fleet.app(&user, "org.example.app");
            fleet.net.reset(glasses);
            app
        })
        .collect();
    fleet.advance(1_000);
    holds("256 tiny frames for glasses", &mut fleet, |fleet| {
        sent(fleet, &apps, 256, &json!({"type":"a"}));
    });
    all_leave(fleet);
}

#[test]
fn backlogs_of_large_frames() {
    let (mut fleet, glasses) = lost_apps(1);
    holds("frames of 2 KB", &mut fleet, |fleet| {
        sent(
            fleet,
            &glasses,
            50,
            &json!({"type":"a","text":"x".repeat(2_000)}),
        );
    });
    all_leave(fleet);
}

#[test]
fn backlogs_of_frames_that_are_just_too_large_to_be_copied() {
    let (mut fleet, glasses) = lost_apps(1);
    holds("frames of 600 B", &mut fleet, |fleet| {
        sent(
            fleet,
            &glasses,
            256,
            &json!({"type":"a","text":"x".repeat(500)}),
        );
    });
    all_leave(fleet);
}

#[test]
fn the_largest_sets_of_subscriptions() {
    let mut fleet = Fleet::open();
    let apps: Vec<PeerId> = (0..1_000)
        .map(|n| {
            fleet.app(
                &format!("user-{}@example.org", n / 15),
                &format!("org.example.app-{n}"),
            )
        })
        .collect();
    let names: Vec<String> = (0..256).map(|n| format!("{n:0256}")).collect();
    let update = json!({"type":"subscription_update","subscriptions":names}).to_string();
    holds("the largest sets", &mut fleet, |fleet| {
        for app in &apps {
            fleet.say_text(*app, &update);
        }
    });
    all_leave(fleet);
}

#[test]
fn places_of_apps_that_are_started() {
    let packages: Vec<String> = (0..60).map(|n| format!("org.example.app-{n}")).collect();
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    let mut fleet = Fleet::tuned(
        RelaySettings::default(),
        Some(Admission::Started),
        |options, _| options.credentials = crate::fleet::credentials(&names, Admission::Started),
    );
    let glasses: Vec<PeerId> = (0..USERS)
        .map(|user| fleet.glasses(&format!("user-{user}@example.org")))
        .collect();
    fleet.advance(1_000);
    let mut numbers = Vec::with_capacity(20_000);
    let asked = holds("places that are asked", &mut fleet, |fleet| {
        for package in &packages {
            for glasses in &glasses {
                fleet.say(*glasses, json!({"type":"start_app","packageName":package}));
            }
        }
        numbers.extend(fleet.starts());
        fleet.noted();
    });
    let charged = fleet.charged();
    let more = measure(|| {
        for number in numbers {
            fleet.answer(number);
        }
    });
    assert_eq!(fleet.charged(), charged);
    let allocated = (asked + more.bytes_current) as f64;
    println!("waited for: {allocated} B allocated, {charged} B charged");
    assert!(
        allocated <= 1.5 * charged as f64,
        "waited for: {allocated} B"
    );
    all_leave(fleet);
}

#[test]
fn places_of_a_state_file() {
    let packages: Vec<String> = (0..10).map(|n| format!("org.example.app-{n}")).collect();
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    let make = |users: usize| {
        let settings = RelaySettings::default();
        Fleet::tuned(settings, Some(Admission::Started), |options, _| {
            options.credentials = crate::fleet::credentials(&names, Admission::Started);
            let apps: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
            let users = (0..users).map(|n| (format!("user-{n}@example.org").into(), apps.clone()));
            options.restored = users.collect();
        })
    };
    let (mut empty, mut fleet) = (None, None);
    let before = measure(|| empty = Some(make(0))).bytes_current;
    let allocated = measure(|| fleet = Some(make(1_000))).bytes_current - before;
    let mut fleet = fleet.expect("a fleet");
    let (charged, allocated) = (fleet.charged(), allocated as f64);
    println!("a state file: {allocated} B allocated, {charged} B charged");
    // Charged is what they hold while their servers are asked, which is as soon as their glasses
    // are back.
    assert!(
        charged as f64 <= 1.4 * allocated,
        "{charged} B for {allocated} B"
    );
    assert!(
        allocated <= 1.5 * charged as f64,
        "{allocated} B for {charged} B"
    );
    all_leave(fleet);
}
