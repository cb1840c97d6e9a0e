//! When the client tries again.

use pulsegate::Micros;
use pulsegate::client::{EndSigns, Mulberry32, Reconnect, Schedule};
use pulsegate::pulse::FailureClass;
use serde::Deserialize;

use super::format::vectors;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleCase {
    name: String,
    seed: u32,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    Try {
        at: u64,
    },
    Open {
        at: u64,
    },
    Hello {
        at: u64,
        first_ms: u64,
        max_ms: u64,
    },
    Proved {
        at: u64,
    },
    Active {
        at: u64,
    },
    Bye {
        at: u64,
        retry_ms: u64,
        spread_ms: Option<u64>,
        /// Decides nothing.
        #[expect(dead_code, reason = "a field that the file may have")]
        why: Option<String>,
    },
    Refused {
        at: u64,
        status: u16,
        retry_ms: Option<u64>,
    },
    End {
        at: u64,
        code: u16,
        #[serde(default)]
        watchdog: bool,
        #[serde(default)]
        slept: bool,
        verdict: Option<Verdict>,
        then: Option<Then>,
    },
    Offline {
        at: u64,
        then: Option<Then>,
    },
    Online {
        at: u64,
        then: Option<Then>,
    },
    Late {
        at: u64,
        then: Option<Then>,
    },
    Reopen {
        at: u64,
        then: Option<Then>,
    },
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Verdict {
    Again(bool),
    AfterMs(u64),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Then {
    class: Option<FailureClass>,
    n: Option<u32>,
    #[serde(default)]
    stop: bool,
    wait: Option<Wait>,
    #[serde(default)]
    not_before: u64,
    want_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Wait {
    Exactly(u64),
    Between(u64, u64),
}

/// A schedule, and the random numbers that it should take.
struct Run {
    schedule: Schedule,
    numbers: Mulberry32,
    is_waiting: bool,
}

impl Run {
    fn step(&mut self, step: &Step) {
        let at = step.at();
        self.feed(step, Micros::from_millis(at));
        let Some(then) = step.then() else { return };
        let schedule = &self.schedule;
        if let Some(class) = then.class {
            assert_eq!(schedule.failure(), Some(class), "{step:?}");
        }
        if let Some(n) = then.n {
            assert_eq!(schedule.ends(), n + 1, "{step:?}");
        }
        if let Some(want_ms) = then.want_ms {
            assert_eq!(schedule.want_ms(), Some(want_ms), "{step:?}");
        }
        let wait = match then.wait {
            Some(Wait::Exactly(ms)) => Some(ms),
            Some(Wait::Between(from, to)) => Some(self.numbers.uniform(from, to)),
            None => None,
        };
        assert_eq!(wait.is_none(), then.stop, "{step:?}: a wait or a stop");
        let due = wait.map(|ms| Micros::from_millis((at + ms).max(then.not_before)));
        assert_eq!(schedule.due(), due, "{step:?}");
    }

    /// Tells the schedule what happens.
    fn feed(&mut self, step: &Step, now: Micros) {
        let schedule = &mut self.schedule;
        match step {
            Step::Try { .. } => {
                schedule.tried(now);
                self.is_waiting = false;
            }
            Step::Open { .. } => schedule.opened(now),
            Step::Hello {
                first_ms, max_ms, ..
            } => schedule.promised(*first_ms, *max_ms),
            Step::Proved { .. } => schedule.proved(),
            Step::Active { .. } => schedule.active(now),
            Step::Bye {
                retry_ms,
                spread_ms,
                ..
            } => schedule.told(*retry_ms, spread_ms.unwrap_or(0)),
            Step::Refused {
                status, retry_ms, ..
            } => schedule.refused(*status, retry_ms.unwrap_or(0)),
            Step::End {
                code,
                watchdog,
                slept,
                verdict,
                ..
            } => {
                let signs = EndSigns {
                    code: *code,
                    is_watchdog: *watchdog,
                    has_slept: *slept,
                };
                schedule.ended(signs, now);
                schedule.plan(decision(*verdict), now);
                self.is_waiting = schedule.due().is_some();
            }
            Step::Offline { .. } => schedule.network(false, self.is_waiting, now),
            Step::Online { .. } => schedule.network(true, self.is_waiting, now),
            Step::Late { .. } => schedule.slept(now),
            Step::Reopen { .. } => schedule.reopen(now),
        }
    }
}

impl Step {
    fn at(&self) -> u64 {
        match self {
            Step::Try { at }
            | Step::Open { at }
            | Step::Hello { at, .. }
            | Step::Proved { at }
            | Step::Active { at }
            | Step::Bye { at, .. }
            | Step::Refused { at, .. }
            | Step::End { at, .. }
            | Step::Offline { at, .. }
            | Step::Online { at, .. }
            | Step::Late { at, .. }
            | Step::Reopen { at, .. } => *at,
        }
    }

    /// Returns what is expected after the step.
    fn then(&self) -> Option<&Then> {
        match self {
            Step::End { then, .. }
            | Step::Offline { then, .. }
            | Step::Online { then, .. }
            | Step::Late { then, .. }
            | Step::Reopen { then, .. } => then.as_ref(),
            _ => None,
        }
    }
}

fn decision(verdict: Option<Verdict>) -> Reconnect {
    match verdict {
        None => Reconnect::ByClass,
        Some(Verdict::Again(true)) => Reconnect::Again,
        Some(Verdict::Again(false)) => Reconnect::Stop,
        Some(Verdict::AfterMs(ms)) => Reconnect::After(Micros::from_millis(ms)),
    }
}

#[test]
fn schedules() {
    let cases = vectors().schedule;
    assert!(cases.len() >= 80, "{}", cases.len());
    for case in cases {
        println!("{}", case.name);
        let mut run = Run {
            schedule: Schedule::new(Mulberry32::new(case.seed)),
            numbers: Mulberry32::new(case.seed),
            is_waiting: false,
        };
        case.steps.iter().for_each(|step| run.step(step));
    }
}
