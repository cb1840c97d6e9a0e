//! The schedules by which clients come back, of pulse and of others.

use pulsegate::client::{EndSigns, Mulberry32, Reconnect, Schedule};
use pulsegate::time::Micros;

/// The schedule of one client.
pub enum Comeback {
    /// The schedule of pulse.
    Pulse(Box<Schedule>),
    /// phoenix.js 1.7: fixed waits, all clients alike.
    Phoenix(usize),
    /// socket.io-client 4: 1 s, doubled up to 5 s, half of it more or less.
    SocketIo(u32, Mulberry32),
    /// A wait of 5 s.
    Fixed,
}

/// `reconnectAfterMs` of phoenix.js, then 5 s.
const PHOENIX_MS: [u64; 9] = [10, 50, 100, 150, 200, 250, 500, 1_000, 2_000];

impl Comeback {
    /// Returns the schedule of this name for the client with this seed, which was connected for
    /// long and had a hello with this figure.
    pub fn new(name: &str, seed: u32, first_ms: u64) -> Self {
        match name {
            "phoenix" => Comeback::Phoenix(0),
            "socket.io" => Comeback::SocketIo(0, Mulberry32::new(seed)),
            "fixed 5 s" => Comeback::Fixed,
            _ => {
                let mut schedule = Schedule::new(Mulberry32::new(seed));
                schedule.tried(Micros::ZERO);
                schedule.opened(Micros::ZERO);
                schedule.promised(first_ms, 30_000);
                schedule.proved();
                Comeback::Pulse(Box::new(schedule))
            }
        }
    }

    /// Returns when the client tries next, after an end at this time.
    pub fn next(&mut self, now: Micros) -> Option<Micros> {
        match self {
            Comeback::Pulse(schedule) => {
                let end = EndSigns {
                    code: 1006,
                    is_watchdog: false,
                    has_slept: false,
                };
                schedule.ended(end, now);
                schedule.plan(Reconnect::ByClass, now);
                schedule.due()
            }
            Comeback::Phoenix(tries) => {
                let wait = PHOENIX_MS.get(*tries).copied().unwrap_or(5_000);
                *tries += 1;
                Some(now + Micros::from_millis(wait))
            }
            Comeback::SocketIo(tries, random) => {
                let wait = (1_000 << (*tries).min(3)).min(5_000);
                *tries += 1;
                let wait = random.uniform(wait / 2, wait * 3 / 2).min(5_000);
                Some(now + Micros::from_millis(wait))
            }
            Comeback::Fixed => Some(now + Micros::from_secs(5)),
        }
    }

    /// Notes that a try begins.
    pub fn tried(&mut self, now: Micros) {
        if let Comeback::Pulse(schedule) = self {
            schedule.tried(now);
        }
    }
}
