//! Deadlines are never early, late by less than a tick, and cost few entries.

use crate::seeds::for_seeds;
use crate::wheel::owner::Owner;
use crate::wheel::times::{HORIZON, HOUR, some_delay, ticks};
use pulsegate::engine::wheel::{TICK, Tick, Wheel};
use pulsegate::time::Micros;

#[test]
fn deadlines_are_never_early_and_late_by_less_than_a_tick() {
    for_seeds(200, |rng| {
        let mut owner = Owner::new(40);
        for _ in 0..600 {
            match rng.u8(..4) {
                // A deadline moves: later ones leave a dead entry or a spurious one, earlier ones a
                // second entry.
                0 | 1 => {
                    let slot = rng.u32(..40);
                    owner.set_due(slot, owner.now + some_delay(rng));
                }
                2 => owner.cancel(rng.u32(..40)),
                _ => owner.sleep_and_fire(),
            }
        }
        owner.run_dry();
    });
}

#[test]
fn a_deadline_after_hours_is_on_time_and_costs_one_entry_per_horizon() {
    let mut owner = Owner::new(1);
    let due = Micros(7 * HOUR.0 + 1_234_567);
    owner.set_due(0, due);
    owner.run_dry();
    assert_eq!(owner.now, Micros(due.0.next_multiple_of(TICK.0)));
    assert_eq!(owner.came_back, due.0.div_ceil(HORIZON * TICK.0));
    assert_eq!(owner.fired, 1);
}

#[test]
fn a_connection_that_is_armed_again_all_the_time_leaves_no_dead_entry_beyond_the_horizon() {
    let mut owner = Owner::new(1);
    for _ in 0..1_000 {
        owner.set_due(0, owner.now + Micros::from_secs(30));
        owner.set_due(0, owner.now + Micros::from_secs(20));
        owner.now += TICK;
        owner.fire();
    }
    owner.cancel(0);
    owner.now += Micros(HORIZON * TICK.0);
    owner.fire();
    assert_eq!(owner.wheel.entries(), 0);
    assert_eq!(owner.fired, 0);
}

#[test]
fn a_loop_that_comes_late_gets_everything_in_order() {
    let mut wheel = Wheel::new();
    for slot in (1..=100).rev() {
        wheel.arm(slot, Micros(u64::from(slot) * TICK.0));
    }
    for slot in 1..=100 {
        assert_eq!(wheel.next(HOUR), Some((slot, vec![slot])));
    }
    assert_eq!(wheel.next(HOUR), None);
    assert_eq!(wheel.entries(), 0);
}

#[test]
fn what_is_due_already_comes_back_with_the_next_tick() {
    let mut wheel = Wheel::new();
    wheel.next(HOUR);
    let next = (HOUR.0 / TICK.0 + 1) as Tick;
    for due in [
        Micros::ZERO,
        HOUR - Micros(1),
        HOUR,
        HOUR + Micros(1),
        HOUR + TICK,
    ] {
        assert_eq!(wheel.arm(7, due), next);
    }
    assert_eq!(wheel.sleep_time(HOUR), Some(TICK));
    assert_eq!(wheel.sleep_time(HOUR + TICK), Some(Micros::ZERO));
    assert_eq!(
        wheel.sleep_time(HOUR + HOUR),
        Some(Micros::ZERO),
        "overdue is at once"
    );
    assert_eq!(wheel.next(HOUR + TICK), Some((next, vec![7; 5])));
    assert_eq!(wheel.sleep_time(HOUR + TICK), None);
}

#[test]
fn deadlines_are_on_time_across_the_last_tick_number() {
    for_seeds(50, |rng| {
        let mut owner = Owner::new(10);
        owner.now = ticks((1 << 32) - rng.u64(1..3 * HORIZON));
        owner.fire();
        for slot in 0..10 {
            owner.set_due(slot, owner.now + some_delay(rng));
        }
        for _ in 0..100 {
            owner.sleep_and_fire();
            owner.set_due(
                rng.u32(..10),
                owner.now + Micros(rng.u64(..HORIZON * TICK.0)),
            );
        }
        owner.run_dry();
        assert!(owner.now > ticks(1 << 32), "the boundary was passed");
    });
}
