//! A wheel that was empty for hours or years.

use crate::wheel::owner::Owner;
use crate::wheel::times::{HORIZON, HOUR, YEAR, ticks};
use pulsegate::engine::wheel::{TICK, Tick, Wheel};
use pulsegate::time::Micros;

#[test]
fn an_empty_wheel_jumps_over_years() {
    let mut wheel = Wheel::new();
    let mut now = Micros::ZERO;
    for idle in [
        YEAR,
        Micros(100 * YEAR.0),
        Micros((TICK.0 << 32) - 1),
        Micros(TICK.0 << 32),
        Micros(TICK.0 << 33),
    ] {
        assert_eq!(wheel.sleep_time(now), None, "nothing to wake for");
        now += idle;
        assert_eq!(wheel.next(now), None);
        let due = now + Micros::from_secs(15);
        let at = wheel.arm(3, due);
        now += wheel.sleep_time(now).expect("an entry");
        assert_eq!(now, Micros(due.0.next_multiple_of(TICK.0)));
        assert_eq!(wheel.next(now), Some((at, vec![3])));
    }
}

#[test]
fn what_is_armed_after_a_long_empty_sleep_and_a_catch_up_counts_from_now() {
    for idle in [HOUR, YEAR, Micros(1_000 * YEAR.0), Micros(TICK.0 << 32)] {
        for ahead in [1, 1_500, HORIZON] {
            let mut wheel = Wheel::new();
            wheel.catch_up(idle + Micros(1));
            wheel.catch_up(Micros::ZERO); // never moves back
            let at = (idle.0 / TICK.0 + ahead) as Tick;
            let due = idle + ticks(ahead);
            assert_eq!(wheel.arm(7, due), at, "in one step, not by the horizon");
            wheel.catch_up(due + YEAR); // holds an entry now: does not move
            assert!(!wheel.is_earlier(due, at));
            assert!(wheel.is_earlier(due - TICK, at) || ahead == 1);
            assert_eq!(wheel.sleep_time(idle), Some(ticks(ahead)));
            assert_eq!(wheel.next(due - Micros(1)), None);
            assert_eq!(wheel.next(due), Some((at, vec![7])));
            assert_eq!((wheel.next(due), wheel.entries()), (None, 0));
        }
    }
}

#[test]
fn with_catch_up_a_deadline_after_a_long_sleep_costs_one_entry() {
    let mut owner = Owner::new(1);
    for slept in [YEAR, HOUR, YEAR] {
        owner.now += slept;
        owner.wheel.catch_up(owner.now);
        owner.set_due(0, owner.now + Micros::from_secs(15));
        assert_eq!(
            owner.wheel.sleep_time(owner.now),
            Some(Micros::from_secs(15))
        );
        owner.run_dry();
    }
    assert_eq!((owner.came_back, owner.fired), (3, 3));
}
