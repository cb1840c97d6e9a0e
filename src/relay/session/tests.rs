//! Tests of the state machines of slots against a model of flat facts, each rule in a
//! line or two. Random events hit them in any state; state, actions and counts must agree after
//! each.

mod generator;
mod model;

use self::generator::Generator;
use self::model::Model;
use super::action::{Action, SlotContent};
use super::app_event::{AppState, WakeAction};
use super::app_slot::AppSlot;
use super::backlog_queue::BuiltFrame;
use super::glasses_slot::GlassesSlot;
use super::slot::{Destination, SlotState};
use super::slot_counts::{CountFlags, OfflineApps};
use crate::base::time::Micros;
use crate::engine::Message;
use crate::relay::relay_settings::ReplayLimits;
use crate::relay::subscriptions::Subscriptions;

const SEEDS: u64 = 300;
const STEPS: usize = 400;
const APPS: usize = 3;

/// How long a connection of a failed session may still arrive.
const ORPHANS: Micros = Micros::from_secs(3);

/// Keeps a frame where one can be kept.
fn keep(destination: Destination<'_>, model: &mut Model) {
    let (Destination::Held(_, kept) | Destination::Absent(kept)) = destination else {
        assert!(model.conn.is_none() && model.deadline.is_none());
        return;
    };
    let frame = BuiltFrame::new(Message::text("x".to_owned())).expect("a text");
    let limits = ReplayLimits {
        max_messages: usize::MAX,
        ..ReplayLimits::default()
    };
    kept.change(|queue| {
        queue.push_waiting(&frame, Micros::ZERO, &limits, &|_| true);
    });
    model.kept += 1;
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
        if let Action::Discard(content) = action {
            check_leavings(content, (kept, wants));
        }
    }
}

fn check_leavings(content: &SlotContent, (kept, wants): (usize, usize)) {
    assert_eq!(content.backlog.count().0, kept, "frames");
    assert_eq!(content.subscriptions.len(), wants, "subscriptions");
}

/// Random lives of a few apps: they connect, end, and start anew.
fn apps(seed: u64) {
    let mut generator = Generator::new(seed);
    let (mut absent, mut offline_apps) = (0, OfflineApps::default());
    let mut all: Vec<(AppSlot, Model)> = Vec::new();
    for _ in 0..STEPS {
        if all.len() < APPS {
            let (app, ran) = match generator.rng.bool() {
                true => (AppSlot::started("p"), false),
                false => (AppSlot::restored("p"), true),
            };
            offline_apps.update(&mut absent, true, CountFlags::default(), app.count_flags());
            let model = Model {
                ran,
                ..Model::default()
            };
            all.push((app, model));
        }
        let nth = generator.rng.usize(0..all.len());
        let (app, model) = &mut all[nth];
        if generator.rng.bool() {
            keep(app.destination(), model);
        }
        if let Some(wants) = model.conn.and_then(|conn| app.subscriptions_of(conn)) {
            model.wants = generator.rng.usize(0..9);
            let names: Vec<String> = (0..model.wants).map(|n| n.to_string()).collect();
            *wants = Subscriptions::new(names.iter().map(String::as_str));
        }
        let event = generator.app_event(model);
        let (before, had) = (app.count_flags(), (model.kept, model.wants));
        let (done, todo) = (app.on(event), model.on(event));
        offline_apps.update(&mut absent, true, before, app.count_flags());
        check_actions(&done, &todo, had);
        check_app(app, model, &mut generator);
        let is_removed = matches!(done.last(), Some(Action::Remove(_)));
        if is_removed || generator.rng.u8(0..40) == 0 {
            let (app, model) = all.swap_remove(nth);
            offline_apps.update(&mut absent, true, app.count_flags(), CountFlags::default());
            let removed = app.end();
            assert_eq!(
                (removed.conn, removed.deadline),
                (model.conn, model.deadline)
            );
            assert_eq!(removed.pending_request, model.open);
            check_leavings(&removed.content, (model.kept, model.wants));
        }
        let count = |fact: fn(&CountFlags) -> bool| {
            let tallies = all.iter().map(|(_, model)| model.count_flags());
            tallies.filter(fact).count() as u64
        };
        assert_eq!(absent, count(|count_flags| count_flags.is_absent));
        assert_eq!(
            offline_apps.all(),
            count(|count_flags| count_flags.is_charged)
        );
        assert_eq!(
            offline_apps.never_connected(),
            count(|count_flags| count_flags.is_never_connected)
        );
    }
}

fn check_app(app: &AppSlot, model: &Model, generator: &mut Generator) {
    assert_eq!(app.state(), model.state());
    model.check_view(app.view());
    assert_eq!(app.count_flags(), model.count_flags());
    let wants = app.subscriptions().map_or(0, Subscriptions::len);
    assert_eq!(wants, model.wants);
    let wake_action = match model.state() {
        AppState::Dormant => Some(WakeAction::AskServer),
        _ => model.flags.deferred.then_some(WakeAction::Acknowledge),
    };
    assert_eq!(app.wake_action(), wake_action);
    let (now, has_newer_sdk) = (generator.now, generator.rng.bool());
    let is_orphan = model.not_before.is_some_and(|at| match model.state() {
        AppState::Asked { .. } => now < at,
        AppState::Running => has_newer_sdk && now < at + ORPHANS,
        _ => false,
    });
    assert_eq!(app.is_orphan(now, has_newer_sdk, ORPHANS), is_orphan);
}

/// Random lives of glasses, one after another.
fn glasses(seed: u64) {
    let mut generator = Generator::new(seed);
    let (mut absent, mut offline_apps) = (0, OfflineApps::default());
    let (mut slot, mut model) = (GlassesSlot::default(), Model::default());
    if generator.rng.bool() {
        let deadline = generator.deadline();
        slot = GlassesSlot::restored(generator.now, deadline);
        model.waits(generator.now, deadline, None);
        offline_apps.update(
            &mut absent,
            false,
            CountFlags::default(),
            slot.count_flags(),
        );
    }
    for _ in 0..STEPS {
        if generator.rng.bool() {
            keep(slot.destination(), &mut model);
        }
        let event = generator.place_event(&model);
        let (before, had) = (slot.count_flags(), (model.kept, 0));
        let (done, todo) = (slot.on(event), model.glasses_on(event));
        offline_apps.update(&mut absent, false, before, slot.count_flags());
        check_actions(&done, &todo, had);
        model.check_view(slot.view());
        assert_eq!(slot.is_occupied(), slot.view().state != SlotState::Empty);
        assert_eq!(absent, u64::from(model.deadline.is_some()));
        assert_eq!(offline_apps, OfflineApps::default(), "glasses are no app");
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
