//! The command line: every flag with its default and its bounds.

use std::net::IpAddr;
use std::str::FromStr;

use lexopt::prelude::*;

use crate::clock::{MILLI, SECOND};
use crate::target::{Target, parse_path, parse_sources};

pub const HELP: &str = "\
pulsegate-swarm --target ws://127.0.0.1:PORT [flags]

Opens many WebSocket connections, answers pings, plays ghosts, slow readers and talkers,
and prints one JSON object. Progress goes to stderr once a second.

  --target URL          ws://HOST:PORT; loopback only, unless --allow-remote is given
  --path TEMPLATE       {n} is the connection's number       [/glasses-ws?user=swarm-{n}]
  --connections N       how many to open, 1 to 60000                               [1000]
  --sources LIST|K      addresses to come from, taken in turn; K: 127.0.0.2 and on [kernel's choice]
  --ramp N              connections to start in a second, 1 to 100000              [2000]
  --in-flight N         handshakes at once, 1 to 20000                              [256]
  --duration S          seconds to stay once all are open, 1 to 86400                [60]
  --ghosts N            of the connections, those that stop answering (they read on, to see the \
  close) [0]
  --timeout-ms MS       the server's timeout, from which a ghost's lateness is told [45000]
  --slow N              of the connections, those that read 5 KiB a second at most    [0]
  --talkers N           of the connections, those that send {\"type\":\"ping\"} and await \
  {\"type\":\"pong\"} [0]
  --talk-interval-ms MS time between two messages of a talker, 1 to 3600000        [1000]
  --talk-bytes N        length of its message, padded with spaces, 15 to 1048576     [15]
  --seed N              the same seed gives the same roles and phases                 [1]
  --allow-remote        permit a target that is not on this machine
  --help

Bounded in time: the ramp may take N / ramp + 30 s, then --duration, then 3 s to say goodbye.
SIGINT or SIGTERM says goodbye now and prints the JSON; a second one ends it at once.
Exit code: 0 it ran, whatever it found; 1 not one connection opened; 2 bad arguments.
";

/// The result of reading the command line.
pub enum Invocation {
    Run(Args),
    Help,
}

/// Time between the last ghost's silence and the end of the run, in addition to the server's
/// timeout (µs).
pub const GHOST_MARGIN: u64 = 3 * SECOND;

/// The checked arguments; times are in microseconds.
pub struct Args {
    pub target: Target,
    pub path: String,
    pub connections: u32,
    /// Source addresses; empty: the kernel chooses.
    pub sources: Vec<IpAddr>,
    /// Connections started per second.
    pub ramp: u32,
    pub in_flight: u32,
    pub duration: u64,
    pub ghosts: u32,
    pub timeout: u64,
    pub slow: u32,
    pub talkers: u32,
    pub talk_interval: u64,
    pub talk_bytes: usize,
    pub seed: u64,
}

/// Reads the process's arguments; an error is one line for the user.
pub fn parse() -> Result<Invocation, String> {
    parse_from(lexopt::Parser::from_env())
}

fn parse_from(mut parser: lexopt::Parser) -> Result<Invocation, String> {
    let mut target = None;
    let mut path = "/glasses-ws?user=swarm-{n}".to_owned();
    let mut sources = None;
    let mut allow_remote = false;
    let (mut connections, mut ramp, mut in_flight) = (1_000, 2_000, 256);
    let (mut ghosts, mut slow, mut talkers) = (0, 0, 0);
    let (mut duration_s, mut timeout_ms, mut talk_interval_ms) = (60, 45_000, 1_000);
    let (mut talk_bytes, mut seed) = (15, 1);

    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        match arg {
            Long("target") => target = Some(text(&mut parser)?),
            Long("path") => path = parse_path(text(&mut parser)?)?,
            Long("connections") => connections = number(&mut parser, "connections", 1, 60_000)?,
            Long("sources") => sources = Some(text(&mut parser)?),
            Long("ramp") => ramp = number(&mut parser, "ramp", 1, 100_000)?,
            Long("in-flight") => in_flight = number(&mut parser, "in-flight", 1, 20_000)?,
            Long("duration") => duration_s = number(&mut parser, "duration", 1, 86_400)?,
            Long("ghosts") => ghosts = number(&mut parser, "ghosts", 0, 60_000)?,
            Long("timeout-ms") => timeout_ms = number(&mut parser, "timeout-ms", 1, 86_400_000)?,
            Long("slow") => slow = number(&mut parser, "slow", 0, 60_000)?,
            Long("talkers") => talkers = number(&mut parser, "talkers", 0, 60_000)?,
            Long("talk-interval-ms") => {
                talk_interval_ms = number(&mut parser, "talk-interval-ms", 1, 3_600_000)?;
            }
            Long("talk-bytes") => talk_bytes = number(&mut parser, "talk-bytes", 15, 1 << 20)?,
            Long("seed") => seed = number(&mut parser, "seed", 0, u64::MAX)?,
            Long("allow-remote") => allow_remote = true,
            Long("help") | Short('h') => return Ok(Invocation::Help),
            other => return Err(format!("{}; --help lists the flags", other.unexpected())),
        }
    }

    let target = Target::parse(&target.ok_or("--target is missing; --help lists the flags")?)?;
    if !target.is_local() && !allow_remote {
        return Err(format!(
            "--target {}: not on this machine; --allow-remote permits it, if it is yours to load",
            target.addr
        ));
    }
    let behaviors = u64::from(ghosts) + u64::from(slow) + u64::from(talkers);
    if behaviors > u64::from(connections) {
        return Err(format!(
            "--ghosts, --slow and --talkers: {behaviors} of {connections} connections"
        ));
    }
    let duration = duration_s * SECOND;
    let timeout = timeout_ms * MILLI;
    if ghosts > 0 && duration <= timeout + GHOST_MARGIN {
        return Err(format!(
            "--duration {duration_s}: too short to see ghosts closed {timeout_ms} ms after they \
             fell silent; \
             give {} or more",
            (timeout + GHOST_MARGIN) / SECOND + 1
        ));
    }
    let sources = match sources {
        Some(text) => parse_sources(&text, &target)?,
        None => Vec::new(),
    };
    Ok(Invocation::Run(Args {
        target,
        path,
        connections,
        sources,
        ramp,
        in_flight,
        duration,
        ghosts,
        timeout,
        slow,
        talkers,
        talk_interval: talk_interval_ms * MILLI,
        talk_bytes,
        seed,
    }))
}

fn text(parser: &mut lexopt::Parser) -> Result<String, String> {
    parser
        .value()
        .and_then(|value| value.string())
        .map_err(|error| error.to_string())
}

fn number<T>(parser: &mut lexopt::Parser, flag: &str, least: T, most: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let text = text(parser)?;
    match text.parse::<T>() {
        Ok(value) if value >= least && value <= most => Ok(value),
        _ => Err(format!(
            "--{flag} {text}: must be a whole number from {least} to {most}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, String> {
        match parse_from(lexopt::Parser::from_args(line.split_whitespace()))? {
            Invocation::Run(args) => Ok(args),
            Invocation::Help => Err("help".into()),
        }
    }

    #[test]
    fn defaults_are_those_that_help_states() {
        let args = parsed("--target ws://127.0.0.1:1").expect("good");
        assert_eq!(
            (args.connections, args.ramp, args.in_flight),
            (1_000, 2_000, 256)
        );
        assert_eq!((args.duration, args.timeout), (60 * SECOND, 45 * SECOND));
        assert_eq!(
            (args.talk_interval, args.talk_bytes, args.seed),
            (SECOND, 15, 1)
        );
    }

    #[test]
    fn a_remote_target_needs_leave() {
        assert!(parsed("--target ws://192.0.2.1:1").is_err());
        assert!(parsed("--target ws://192.0.2.1:1 --allow-remote").is_ok());
    }

    #[test]
    fn faults_are_told() {
        for line in [
            "",
            "--target ws://127.0.0.1:1 --connections 0",
            "--target ws://127.0.0.1:1 --ramp x",
            "--target ws://127.0.0.1:1 --talk-bytes 14",
            "--target ws://127.0.0.1:1 --bogus",
            "--target ws://127.0.0.1:1 more",
            "--target ws://127.0.0.1:1 --connections 10 --ghosts 6 --slow 5 --duration 99",
            "--target ws://127.0.0.1:1 --ghosts 1 --duration 46",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert!(parsed("--target ws://127.0.0.1:1 --ghosts 1 --duration 49").is_ok());
    }
}
