//! A herd on virtual time: a server that makes so many handshakes a second, and clients that all
//! lose it at once.

use super::schedules::Comeback;
use pulsegate::time::Micros;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// The server is back after this time.
const AWAY: Micros = Micros::from_millis(200);

/// The connections that wait in the accept queue of the kernel.
const BACKLOG: usize = 4_096;

/// A client gives up a try after this time.
const PATIENCE: Micros = Micros::from_secs(10);

/// The kernel sends a lost SYN again after 1 s and 3 s (RFC 6298 §2); here a try beyond the accept
/// queue fails after this time.
const UNHEARD: Micros = Micros::from_secs(3);

/// The longest run.
const LONGEST: Micros = Micros::from_secs(180);

/// What became of a herd.
pub struct Herd {
    pub name: &'static str,
    /// Clients that are back.
    pub back: usize,
    /// The most handshakes within one second.
    pub peak_accepts: usize,
    /// The most tries within one second.
    pub peak_tries: usize,
    /// Tries that failed after the server was back.
    pub failed: usize,
    /// When half, 99 %, and all of them were back, in milliseconds.
    pub back_ms: [Option<u64>; 3],
}

/// Compares the four schedules.
pub fn compare(clients: usize, acceptable: u64, first_ms: u64) {
    for name in ["pulse", "phoenix", "socket.io", "fixed 5 s"] {
        let herd = run(name, clients, acceptable, first_ms);
        let [half, most, all] = herd
            .back_ms
            .map(|ms| ms.map_or("null".into(), |ms| ms.to_string()));
        println!(
            "{{\"schedule\":\"{}\",\"clients\":{clients},\"acceptable_per_s\":{acceptable},\
             \"first_ms\":{first_ms},\"back\":{},\"peak_accepts_per_s\":{},\"peak_tries_per_s\":{},\
             \"failed_tries\":{},\"back_50_ms\":{half},\"back_99_ms\":{most},\"back_all_ms\":{all}}}",
            herd.name, herd.back, herd.peak_accepts, herd.peak_tries, herd.failed
        );
    }
}

/// Runs one herd until all are back.
pub fn run(name: &'static str, clients: usize, acceptable: u64, first_ms: u64) -> Herd {
    // Long after the connections were opened, so that they count as stable.
    let lost = Micros::from_secs(100);
    let mut comebacks: Vec<_> = (0..clients)
        .map(|seed| Comeback::new(name, seed as u32, first_ms))
        .collect();
    let mut tries: BinaryHeap<Reverse<(Micros, usize)>> = BinaryHeap::new();
    for (nth, comeback) in comebacks.iter_mut().enumerate() {
        tries.extend(comeback.next(lost).map(|at| Reverse((at, nth))));
    }
    let each = Micros(1_000_000 / acceptable.max(1));
    let up = lost + AWAY;
    let mut server = Server::new(up, each);
    let mut tried = Vec::new();
    let mut failed = 0;
    while let Some(Reverse((now, nth))) = tries.pop() {
        if now > lost + LONGEST {
            break;
        }
        comebacks[nth].tried(now);
        tried.push(now);
        let failed_at = match server.knock(now) {
            Knock::Accepted => continue,
            Knock::Refused => now,
            Knock::Unheard => {
                failed += 1;
                now + UNHEARD
            }
        };
        let next = comebacks[nth].next(failed_at);
        tries.extend(next.map(|at| Reverse((at, nth))));
    }
    server.accepted.sort_unstable();
    let back = server.accepted.len();
    let at = |part: usize| {
        let nth = (clients * part).div_ceil(100);
        let at = server.accepted.get(nth.saturating_sub(1));
        at.map(|at| (*at - lost).as_millis())
    };
    Herd {
        name,
        back,
        peak_accepts: peak(&server.accepted),
        peak_tries: peak(&tried),
        failed,
        back_ms: [at(50), at(99), at(100)],
    }
}

/// Returns the most times within one second.
fn peak(times: &[Micros]) -> usize {
    let mut window = VecDeque::new();
    let mut most = 0;
    for at in times {
        window.push_back(*at);
        while window
            .front()
            .is_some_and(|first| *at - *first >= Micros::from_secs(1))
        {
            window.pop_front();
        }
        most = most.max(window.len());
    }
    most
}

enum Knock {
    /// The handshake is made.
    Accepted,
    /// Nothing listens.
    Refused,
    /// The accept queue is full, or the handshake would come too late.
    Unheard,
}

/// A server that makes one handshake after the other.
struct Server {
    up: Micros,
    each: Micros,
    /// When the handshakes that wait are made.
    queue: VecDeque<Micros>,
    accepted: Vec<Micros>,
}

impl Server {
    fn new(up: Micros, each: Micros) -> Self {
        Server {
            up,
            each,
            queue: VecDeque::new(),
            accepted: Vec::new(),
        }
    }

    fn knock(&mut self, now: Micros) -> Knock {
        if now < self.up {
            return Knock::Refused;
        }
        while self.queue.front().is_some_and(|made| *made <= now) {
            self.queue.pop_front();
        }
        let made = self.queue.back().copied().unwrap_or(now).max(now) + self.each;
        if self.queue.len() >= BACKLOG || made - now > PATIENCE {
            return Knock::Unheard;
        }
        self.queue.push_back(made);
        self.accepted.push(made);
        Knock::Accepted
    }
}
