//! Describes the trouble of one identity in words.

use super::trouble::{SLOW, Trouble};
use crate::base::cause::Cause;
use std::fmt::Write as _;

impl Trouble {
    pub(super) fn pattern(&self) -> String {
        let (sums, (first, last)) = (self.sums(), self.span());
        let within = span(last.since(first).as_millis());
        let mut words = String::new();
        let mut append = |what: String| {
            let comma = if words.is_empty() { "" } else { ", " };
            let _ = write!(words, "{comma}{what}");
        };
        let drops = sums.all_drops();
        if let Some((most, n)) = sums.drops.iter().max_by_key(|(_, n)| *n) {
            let plural = if drops == 1 { "" } else { "s" };
            append(format!("{drops} drop{plural} in {within}"));
            if u32::from(*n) == drops {
                append(format!("all {most}"));
            } else {
                append(format!("{n} of them {most}"));
            }
        }
        let stale = sums.drops_for(Cause::STALE);
        if sums.slow_stale > 0 && sums.slow_stale >= stale.div_ceil(2) {
            append(format!("silent after RTT above {} s", SLOW.as_secs()));
        } else if sums.slow > 0 {
            let of = times(sums.slow.into());
            append(format!("RTT above {} s at the end {of}", SLOW.as_secs()));
        }
        if let Some(age) = self.common_age() {
            append(format!("each after {}", span(age)));
        }
        if sums.failed_resumes > 0 {
            let n = times(sums.failed_resumes.into());
            let when = if drops == 0 {
                format!(" in {within}")
            } else {
                String::new()
            };
            append(format!("not reconnected in time {n}{when}"));
        }
        words
    }

    /// Returns the age at which its connections are dropped, if it is always the same: then
    /// something on the network path has a timeout.
    fn common_age(&self) -> Option<u64> {
        let (least, most) = (self.ages.iter().min()?, self.ages.iter().max()?);
        let is_one = self.ages.len() >= 3 && *least >= 1_000 && (most - least) * 20 <= *most;
        is_one.then_some(*most)
    }
}

fn times(n: u32) -> String {
    match n {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}

/// Describes a span of ms in words, rounded.
fn span(ms: u64) -> String {
    let seconds = (ms + 500) / 1_000;
    let minutes = (seconds + 30) / 60;
    match seconds {
        0..=90 => format!("{} s", seconds.max(1)),
        _ if minutes <= 90 => format!("{minutes} min"),
        _ => format!("{} h", (minutes + 30) / 60),
    }
}
