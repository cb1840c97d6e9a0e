//! The timer wheel compared with a sorted list.
//!
//! An entry fires at the first tick at or after its deadline: never early, late by less than a
//! tick. The wheel's sleep is exact, and cancelled entries do no harm. Hours, years, the 2^32nd
//! tick and any position in the ring of bits make no difference.
//!
//! All times are virtual. A failure names its seed; `SEED=n cargo test --all-features --test engine
//! wheel` runs that one alone.

use fastrand::Rng;
use pulsegate::engine::wheel::{TICK, Tick, Wheel};
use pulsegate::time::Micros;
use std::collections::BTreeMap;

/// The furthest entry, in ticks from now: part of the wheel's contract.
const HORIZON: u64 = 4_095;

const HOUR: Micros = Micros::from_secs(3_600);
const YEAR: Micros = Micros::from_secs(365 * 24 * 3_600);

// The wheel and the list, side by side.

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

// Deadlines as the engine uses them.

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

// Idle for long, and far from the origin.

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

// The ring of bits.

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

/// The wheel and a sorted list of the same entries. Every call does the same to both, and compares.
struct Both {
    wheel: Wheel,
    now: u64,
    list: BTreeMap<u64, Vec<u32>>,
}

impl Default for Both {
    fn default() -> Self {
        Both::at(0)
    }
}

impl Both {
    fn at(tick: u64) -> Self {
        Both {
            wheel: wheel_at(tick),
            now: tick,
            list: BTreeMap::new(),
        }
    }

    /// Returns the tick at which an entry for `due` has to fire.
    fn tick_of(&self, due: Micros) -> u64 {
        let first_at_or_after = due.0.div_ceil(TICK.0);
        first_at_or_after.max(self.now + 1).min(self.now + HORIZON)
    }

    fn arm(&mut self, slot: u32, due: Micros) {
        let at = self.tick_of(due);
        assert_eq!(self.wheel.arm(slot, due), at as Tick, "armed for {due:?}");
        self.list.entry(at).or_default().push(slot);
        self.compare_entries();
    }

    /// Compares whether `due` would fire before an entry that is `ahead` ticks away.
    fn compare_is_earlier(&self, due: Micros, ahead: u64) {
        let armed = self.now + ahead;
        assert_eq!(
            self.wheel.is_earlier(due, armed as Tick),
            self.tick_of(due) < armed,
            "{due:?} against tick {armed} at {}",
            self.now
        );
    }

    fn sleep(&self, now: Micros) -> Option<Micros> {
        let first = self.list.keys().next().map(|&tick| ticks(tick) - now);
        assert_eq!(self.wheel.sleep_time(now), first, "sleep at {now:?}");
        first
    }

    /// Catches up to `now`: only an empty wheel jumps, and only forward.
    fn catch_up(&mut self, now: Micros) {
        self.wheel.catch_up(now);
        if self.list.is_empty() {
            self.now = self.now.max(now.0 / TICK.0);
        }
    }

    /// Calls `next` once; `back` gets the slots.
    fn next(&mut self, now: Micros, back: &mut Vec<u32>) {
        let target = (now.0 / TICK.0).max(self.now);
        let first = self.list.keys().next().copied().filter(|&at| at <= target);
        self.now = first.unwrap_or(target);
        let expected = first.map(|at| (at as Tick, sorted(self.list.remove(&at).expect("listed"))));
        let got = self.wheel.next(now).map(|(at, slots)| (at, sorted(slots)));
        assert_eq!(got, expected, "at {now:?}");
        back.extend(got.into_iter().flat_map(|(_, slots)| slots));
        self.compare_entries();
    }

    /// Runs from sleep to sleep until nothing is left.
    fn drain(&mut self, mut now: Micros) {
        while let Some(sleep) = self.sleep(now) {
            now += sleep;
            self.next(now, &mut Vec::new());
        }
        assert_eq!(self.wheel.entries(), 0);
    }

    fn compare_entries(&self) {
        let listed = self.list.values().map(Vec::len).sum::<usize>();
        assert_eq!(self.wheel.entries(), listed, "entries");
    }
}

/// A table of slots with one deadline each, on one wheel, as in the engine. Deadlines move, and an
/// entry counts only while its slot is armed for the tick at which it fires.
struct Owner {
    wheel: Wheel,
    now: Micros,
    slots: Vec<Slot>,
    came_back: u64,
    fired: u64,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    due: Option<Micros>,
    /// When the deadline was last changed: it cannot fire earlier.
    set_at: Micros,
    armed: Option<Tick>,
}

impl Owner {
    fn new(slots: usize) -> Self {
        Owner {
            wheel: Wheel::new(),
            now: Micros::ZERO,
            slots: vec![Slot::default(); slots],
            came_back: 0,
            fired: 0,
        }
    }

    /// Moves a deadline. A later one keeps the existing entry.
    fn set_due(&mut self, slot: u32, due: Micros) {
        let state = &mut self.slots[slot as usize];
        state.due = Some(due);
        state.set_at = self.now;
        if state
            .armed
            .is_none_or(|armed| self.wheel.is_earlier(due, armed))
        {
            state.armed = Some(self.wheel.arm(slot, due));
        }
    }

    fn cancel(&mut self, slot: u32) {
        let state = &mut self.slots[slot as usize];
        (state.due, state.armed) = (None, None);
    }

    /// Sleeps for as long as the wheel says. A microsecond less must be too short, otherwise the
    /// sleep would not be exact.
    fn sleep_and_fire(&mut self) {
        let Some(sleep) = self.wheel.sleep_time(self.now) else {
            assert_eq!(self.wheel.entries(), 0, "sleeps for ever over entries");
            return;
        };
        if let Some(a_little_less) = sleep.0.checked_sub(1) {
            assert_eq!(self.wheel.next(self.now + Micros(a_little_less)), None);
        }
        self.now += sleep;
        assert!(self.fire() > 0, "slept {sleep:?} for nothing");
    }

    /// Takes out the entries that have fired; returns how many.
    fn fire(&mut self) -> u64 {
        let before = self.came_back;
        while let Some((tick, slots)) = self.wheel.next(self.now) {
            self.came_back += slots.len() as u64;
            for slot in slots {
                self.on_entry(slot, tick);
            }
        }
        self.came_back - before
    }

    fn on_entry(&mut self, slot: u32, tick: Tick) {
        let state = &mut self.slots[slot as usize];
        if state.armed != Some(tick) {
            return; // dead
        }
        state.armed = None;
        let due = state.due.expect("an armed slot has a deadline");
        if self.now < due {
            state.armed = Some(self.wheel.arm(slot, due));
            return; // spurious: moved later, or beyond the horizon
        }
        let late = self.now - due.max(state.set_at);
        assert!(
            late < TICK || late == TICK && due <= state.set_at,
            "{late:?} late"
        );
        state.due = None;
        self.fired += 1;
    }

    fn run_dry(&mut self) {
        while self.wheel.entries() > 0 {
            self.sleep_and_fire();
        }
        assert!(
            self.slots.iter().all(|s| s.due.is_none()),
            "every deadline fired"
        );
        assert_eq!(self.wheel.sleep_time(self.now), None);
    }
}

fn wheel_at(tick: u64) -> Wheel {
    let mut wheel = Wheel::new();
    assert_eq!(wheel.next(ticks(tick)), None);
    wheel
}

fn ticks(n: u64) -> Micros {
    Micros(n * TICK.0)
}

/// Returns a deadline around `now`: passed, near, about a horizon away, or far.
fn some_due(rng: &mut Rng, now: Micros) -> Micros {
    match rng.u8(..6) {
        0 => now - Micros(rng.u64(..3 * TICK.0)),
        1 => Micros(rng.u64(..=now.0)),
        _ => now + some_delay(rng),
    }
}

/// Returns a delay of any relevant size: within a tick, whole ticks, seconds, about the horizon,
/// hours.
fn some_delay(rng: &mut Rng) -> Micros {
    Micros(match rng.u8(..6) {
        0 => rng.u64(..2 * TICK.0),
        1 => rng.u64(..300) * TICK.0,
        2 | 3 => rng.u64(..HORIZON * TICK.0),
        4 => (HORIZON - 2) * TICK.0 + rng.u64(..4 * TICK.0),
        _ => rng.u64(..2 * HOUR.0),
    })
}

fn sorted(mut slots: Vec<u32>) -> Vec<u32> {
    slots.sort_unstable();
    slots
}

/// Runs `test` with the seeds from 0, or with `SEED` alone, and names the seed that fails.
fn for_seeds(count: u64, test: impl Fn(&mut Rng)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with SEED={}", self.0);
            }
        }
    }
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..count,
    };
    for seed in seeds {
        let _named = Named(seed);
        test(&mut Rng::with_seed(seed));
    }
}
