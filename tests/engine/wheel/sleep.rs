//! The sleep of the wheel is exact at every position in its ring of bits.

use crate::wheel::times::{HORIZON, ticks, wheel_at};
use pulsegate::engine::wheel::Tick;
use pulsegate::time::Micros;

#[test]
fn sleep_is_exact_for_every_offset_from_every_place_in_a_word() {
    for start in 0..64 {
        let start = start * 65; // every residue of 64, and every word
        let mut wheel = wheel_at(start);
        // From the furthest to the nearest: each becomes the next one.
        for offset in (1..=HORIZON).rev() {
            wheel.arm(offset as u32, ticks(start + offset));
            assert_eq!(
                wheel.sleep_time(ticks(start)),
                Some(ticks(offset)),
                "{offset} from {start}"
            );
        }
        // And as they fire one by one, each uncovers its neighbour.
        for offset in 1..=HORIZON {
            let now = ticks(start + offset);
            assert_eq!(
                wheel.sleep_time(ticks(start)),
                Some(ticks(offset)),
                "{offset} from {start}"
            );
            assert_eq!(wheel.next(now - Micros(1)), None);
            assert_eq!(
                wheel.next(now),
                Some(((start + offset) as Tick, vec![offset as u32]))
            );
        }
        assert_eq!(wheel.entries(), 0);
    }
}

#[test]
fn sleep_is_exact_for_a_single_entry_wherever_it_is() {
    for start in 0..64 {
        let start = 4_096 + start;
        for offset in 1..=HORIZON {
            let mut wheel = wheel_at(start);
            let at = wheel.arm(1, ticks(start + offset));
            assert_eq!(u64::from(at), start + offset);
            assert_eq!(
                wheel.sleep_time(ticks(start)),
                Some(ticks(offset)),
                "{offset} from {start}"
            );
        }
    }
}
