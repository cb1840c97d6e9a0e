//! The roles of the connections and their times, drawn from the seed before the first connection
//! opens.

use crate::args::{Args, GHOST_MARGIN};
use crate::rng::Rng;

/// What a connection does besides answering pings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    /// Only answers pings.
    Plain,
    /// Falls silent at a random time: it still reads, to see its end, but sends nothing more.
    Ghost,
    /// Reads a little at a time, however much there is.
    Slow,
    /// Sends a JSON ping now and then.
    Talker,
}

/// Returns the role of each connection, by number; special roles are scattered at random among the
/// plain ones.
pub fn behaviors(args: &Args, rng: &mut Rng) -> Vec<Behavior> {
    let special = [
        (Behavior::Ghost, args.ghosts),
        (Behavior::Slow, args.slow),
        (Behavior::Talker, args.talkers),
    ];
    let mut behaviors: Vec<Behavior> = special
        .iter()
        .flat_map(|&(behavior, count)| std::iter::repeat_n(behavior, count as usize))
        .collect();
    behaviors.resize(args.connections as usize, Behavior::Plain);
    for last in (1..behaviors.len()).rev() {
        behaviors.swap(last, rng.below(last as u64 + 1) as usize);
    }
    behaviors
}

/// Returns how long (µs) after the start of the hold a ghost falls silent. The time is uniform over
/// the hold less the timeout and a margin, so that ghosts fall silent at every phase of the
/// server's heartbeat.
pub fn silent_after(args: &Args, rng: &mut Rng) -> u64 {
    rng.below(args.duration.saturating_sub(args.timeout + GHOST_MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::target::Target;

    #[test]
    fn each_role_is_played_as_often_as_asked() {
        let args = Args {
            target: Target::parse("ws://127.0.0.1:1").expect("a target"),
            path: String::new(),
            connections: 1_000,
            sources: Vec::new(),
            ramp: 1,
            in_flight: 1,
            duration: 20 * SECOND,
            ghosts: 300,
            timeout: 6 * SECOND,
            slow: 20,
            talkers: 1,
            talk_interval: 1,
            talk_bytes: 15,
            seed: 1,
        };
        let mut rng = Rng::new(3);
        let behaviors = behaviors(&args, &mut rng);
        let count = |behavior| behaviors.iter().filter(|&&r| r == behavior).count();
        assert_eq!(
            [
                Behavior::Plain,
                Behavior::Ghost,
                Behavior::Slow,
                Behavior::Talker
            ]
            .map(count),
            [679, 300, 20, 1]
        );
        assert!(
            behaviors[..500]
                .iter()
                .filter(|&&r| r == Behavior::Ghost)
                .count()
                > 100,
            "scattered"
        );
        assert!((0..1_000).all(|_| silent_after(&args, &mut rng) < 11 * SECOND));
    }
}
