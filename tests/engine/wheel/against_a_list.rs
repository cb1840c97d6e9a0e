//! The wheel does what a sorted list does.

use crate::seeds::for_seeds;
use crate::wheel::both::Both;
use crate::wheel::times::{HORIZON, HOUR, YEAR, some_due, ticks};
use pulsegate::engine::wheel::TICK;
use pulsegate::time::Micros;

#[test]
fn does_what_a_sorted_list_does() {
    for_seeds(300, |rng| {
        let mut both = Both::default();
        let mut now = Micros::ZERO;
        for _ in 0..400 {
            match rng.u8(..11) {
                0..4 => both.arm(rng.u32(..), some_due(rng, now)),
                4 => both.compare_is_earlier(some_due(rng, now), rng.u64(1..=HORIZON)),
                5 => now += Micros(rng.u64(..3 * TICK.0)),
                6 => now += Micros(rng.u64(..2 * HORIZON * TICK.0)),
                7 => now += both.sleep(now).unwrap_or(HOUR) - Micros(1),
                8 => now += both.sleep(now).unwrap_or(YEAR),
                9 => both.catch_up(now),
                _ => both.next(now, &mut Vec::new()),
            }
            both.sleep(now);
        }
        both.drain(now);
    });
}

#[test]
fn entries_armed_while_others_come_back_are_kept() {
    for_seeds(100, |rng| {
        let mut both = Both::default();
        let mut now = Micros::ZERO;
        for slot in 0..50 {
            both.arm(slot, some_due(rng, now));
        }
        for _ in 0..100 {
            now += Micros(rng.u64(..HORIZON * TICK.0));
            let mut back = Vec::new();
            loop {
                let before = back.len();
                both.next(now, &mut back);
                if back.len() == before {
                    break;
                }
                // The wheel is behind `now` here, and some of these deadlines have passed already.
                for &slot in &back[before..] {
                    both.arm(slot, some_due(rng, now));
                }
            }
        }
        assert_eq!(
            both.wheel.entries(),
            50,
            "each that came back went in again"
        );
        both.drain(now);
    });
}

#[test]
fn nothing_happens_at_a_boundary_of_the_tick_counter() {
    // 2^32 is where ticks wrap; at the others the inner wheels turn over.
    for boundary in [1_u64 << 8, 1 << 12, 1 << 16, 1 << 24, 1 << 32, 3 << 32] {
        for before in [1, 2, 63, 64, 65, 255, HORIZON - 1, HORIZON] {
            let Some(start) = boundary.checked_sub(before) else {
                continue;
            };
            let mut both = Both::at(start);
            for offset in (1..=HORIZON).step_by(31).chain([before, HORIZON]) {
                both.arm(offset as u32, ticks(start + offset));
                both.compare_is_earlier(ticks(start + offset), before);
                both.compare_is_earlier(ticks(start + before), offset);
            }
            both.drain(ticks(start));
        }
    }
}
