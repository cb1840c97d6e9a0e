//! When the client takes its connection for dead.

use pulsegate::Micros;
use pulsegate::client::{SilenceWatchdog, WatchdogVerdict};
use serde::Deserialize;

use super::format::vectors;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchdogCase {
    name: String,
    ping_ms: u64,
    grace_ms: u64,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at: u64,
    #[serde(rename = "do")]
    event: Event,
    /// Of `big`.
    bytes: Option<u64>,
    /// Of `probe`: the unsent bytes.
    buffered: Option<u64>,
    /// Of `probe`: the number to send, 0 for none. Of `answer`: the number that came.
    number: Option<u64>,
    rtt_ms: Option<u64>,
    /// Of `timer`: the time that it was set for.
    ms: Option<u64>,
    what: Option<What>,
    due: Option<u64>,
    slept: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Heard,
    Big,
    Ping,
    Probe,
    Answer,
    Timer,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Wait,
    Probe,
    Dead,
}

fn run(dog: &mut SilenceWatchdog, step: &Step) {
    let now = Micros::from_millis(step.at);
    match step.event {
        Event::Heard => dog.heard(now),
        Event::Big => dog.big(step.bytes.expect("a length")),
        Event::Ping => dog.pinged(now),
        Event::Probe => {
            let number = dog.probe(step.buffered.expect("unsent bytes"), now);
            assert_eq!(
                number.unwrap_or(0),
                step.number.expect("a number"),
                "{step:?}"
            );
        }
        Event::Answer => {
            let rtt = dog.answered(step.number.expect("a number"), now);
            assert_eq!(rtt, step.rtt_ms.map(Micros::from_millis), "{step:?}");
        }
        Event::Timer => {
            let at = Micros::from_millis(step.ms.expect("a time"));
            let what = match dog.fired(at, now) {
                WatchdogVerdict::Wait => What::Wait,
                WatchdogVerdict::Probe => What::Probe,
                WatchdogVerdict::Dead => What::Dead,
            };
            assert_eq!(Some(what), step.what, "{step:?}");
        }
    }
    if let Some(due) = step.due {
        assert_eq!(dog.due(), Micros::from_millis(due), "{step:?}");
    }
    if let Some(slept) = step.slept {
        assert_eq!(dog.has_slept(), slept, "{step:?}");
    }
}

#[test]
fn watchdogs() {
    for case in vectors().watchdog {
        println!("{}", case.name);
        let mut dog = SilenceWatchdog::new(case.ping_ms, case.grace_ms, Micros::ZERO);
        case.steps.iter().for_each(|step| run(&mut dog, step));
    }
}
