//! Tests of the state machines of places and apps against a model of flat facts, each rule in a
//! line or two. Random events hit them in any state; state, actions and counts must agree after
//! each.

mod facts;
mod world;

use self::facts::Facts;
use self::world::World;
use super::action::{Action, Leavings};
use super::app::App;
use super::app_event::{AppState, Wakes};
use super::backlog::Frame;
use super::census::{Tally, Vacancies};
use super::place::Place;
use super::seat::{Addressee, PlaceState};
use crate::base::time::Micros;
use crate::engine::Message;
use crate::relay::settings::ReplayLimits;
use crate::relay::subscriptions::Subscriptions;

const SEEDS: u64 = 300;
const STEPS: usize = 400;
const APPS: usize = 3;

/// How long a connection of a failed session may still arrive.
const ORPHANS: Micros = Micros::from_secs(3);

/// Keeps a frame where one can be kept.
fn keep(place: Addressee<'_>, facts: &mut Facts) {
    let (Addressee::Here(_, kept) | Addressee::Absent(kept)) = place else {
        assert!(facts.conn.is_none() && facts.due.is_none());
        return;
    };
    let frame = Frame::new(Message::text("x".to_owned())).expect("a text");
    let limits = ReplayLimits {
        max_messages: usize::MAX,
        ..ReplayLimits::default()
    };
    kept.change(|backlog| {
        backlog.waits(&frame, Micros::ZERO, &limits, &|_| true);
    });
    facts.kept += 1;
}

/// Compares the actions with those of the model; what is discarded must be what was kept.
fn check_actions(done: &[Action], todo: &[Action], (kept, wants): (usize, usize)) {
    let shown = |action: &Action| match action {
        Action::Discard(_) => "Discard".to_owned(),
        other => format!("{other:?}"),
    };
    let [shown, expected] = [done, todo].map(|all| all.iter().map(shown).collect::<Vec<_>>());
    assert_eq!(shown, expected);
    for action in done {
        if let Action::Discard(leavings) = action {
            check_leavings(leavings, (kept, wants));
        }
    }
}

fn check_leavings(leavings: &Leavings, (kept, wants): (usize, usize)) {
    assert_eq!(leavings.kept.count().0, kept, "frames");
    assert_eq!(leavings.subscriptions.len(), wants, "subscriptions");
}

/// Random lives of a few apps: they connect, end, and start anew.
fn apps(seed: u64) {
    let mut world = World::new(seed);
    let (mut absent, mut vacancies) = (0, Vacancies::default());
    let mut all: Vec<(App, Facts)> = Vec::new();
    for _ in 0..STEPS {
        if all.len() < APPS {
            let (app, ran) = match world.rng.bool() {
                true => (App::started("p"), false),
                false => (App::restored("p"), true),
            };
            vacancies.change(&mut absent, true, Tally::default(), app.tally());
            let facts = Facts {
                ran,
                ..Facts::default()
            };
            all.push((app, facts));
        }
        let nth = world.rng.usize(0..all.len());
        let (app, facts) = &mut all[nth];
        if world.rng.bool() {
            keep(app.addressee(), facts);
        }
        if let Some(wants) = facts.conn.and_then(|conn| app.subscriptions_of(conn)) {
            facts.wants = world.rng.usize(0..9);
            let names: Vec<String> = (0..facts.wants).map(|n| n.to_string()).collect();
            *wants = Subscriptions::new(names.iter().map(String::as_str));
        }
        let event = world.app_event(facts);
        let (before, had) = (app.tally(), (facts.kept, facts.wants));
        let (done, todo) = (app.on(event), facts.on(event));
        vacancies.change(&mut absent, true, before, app.tally());
        check_actions(&done, &todo, had);
        check_app(app, facts, &mut world);
        let is_removed = matches!(done.last(), Some(Action::Remove(_)));
        if is_removed || world.rng.u8(0..40) == 0 {
            let (app, facts) = all.swap_remove(nth);
            vacancies.change(&mut absent, true, app.tally(), Tally::default());
            let estate = app.end();
            assert_eq!((estate.conn, estate.due), (facts.conn, facts.due));
            assert_eq!(estate.question, facts.open);
            check_leavings(&estate.leavings, (facts.kept, facts.wants));
        }
        let count = |fact: fn(&Tally) -> bool| {
            let tallies = all.iter().map(|(_, facts)| facts.tally());
            tallies.filter(fact).count() as u64
        };
        assert_eq!(absent, count(|tally| tally.is_absent));
        assert_eq!(vacancies.apps(), count(|tally| tally.is_charged));
        assert_eq!(vacancies.started(), count(|tally| tally.is_started));
    }
}

fn check_app(app: &App, facts: &Facts, world: &mut World) {
    assert_eq!(app.state(), facts.state());
    facts.check_view(app.place());
    assert_eq!(app.tally(), facts.tally());
    let wants = app.subscriptions().map_or(0, Subscriptions::len);
    assert_eq!(wants, facts.wants);
    let wakes = match facts.state() {
        AppState::Dormant => Some(Wakes::Asked),
        _ => facts.conduct.deferred.then_some(Wakes::Acknowledged),
    };
    assert_eq!(app.wakes(), wakes);
    let (now, insists) = (world.now, world.rng.bool());
    let is_orphan = facts.not_before.is_some_and(|at| match facts.state() {
        AppState::Asked { .. } => now < at,
        AppState::Running => insists && now < at + ORPHANS,
        _ => false,
    });
    assert_eq!(app.is_orphan(now, insists, ORPHANS), is_orphan);
}

/// Random lives of glasses, one after another.
fn glasses(seed: u64) {
    let mut world = World::new(seed);
    let (mut absent, mut vacancies) = (0, Vacancies::default());
    let (mut place, mut facts) = (Place::default(), Facts::default());
    if world.rng.bool() {
        let due = world.due();
        place = Place::restored(world.now, due);
        facts.waits(world.now, due, None);
        vacancies.change(&mut absent, false, Tally::default(), place.tally());
    }
    for _ in 0..STEPS {
        if world.rng.bool() {
            keep(place.addressee(), &mut facts);
        }
        let event = world.place_event(&facts);
        let (before, had) = (place.tally(), (facts.kept, 0));
        let (done, todo) = (place.on(event), facts.glasses_on(event));
        vacancies.change(&mut absent, false, before, place.tally());
        check_actions(&done, &todo, had);
        facts.check_view(place.view());
        assert_eq!(place.is_held(), place.view().state != PlaceState::Empty);
        assert_eq!(absent, u64::from(facts.due.is_some()));
        assert_eq!(vacancies, Vacancies::default(), "glasses are no app");
    }
}

#[test]
fn an_app_does_what_its_model_does() {
    (0..SEEDS).for_each(apps);
}

#[test]
fn the_place_of_glasses_does_what_its_model_does() {
    (0..SEEDS).for_each(glasses);
}

/// Each deliberate bug, enabled alone, must be caught by the model of apps or of glasses.
#[cfg(feature = "sabotage")]
#[test]
fn every_deliberate_bug_of_a_place_is_caught() {
    use crate::base::sabotage::{self, Bug};
    use std::panic::catch_unwind;

    let caught = |bug: Bug, run: fn(u64)| {
        (0..SEEDS).any(|seed| catch_unwind(|| sabotage::with(bug, || run(seed))).is_err())
    };
    let missed: Vec<Bug> = Bug::OF_THE_PLACES
        .into_iter()
        .filter(|bug| !caught(*bug, apps))
        .collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
    for bug in [Bug::LateEndTakes, Bug::EndUncounted] {
        assert!(caught(bug, glasses), "{bug:?}");
    }
}
