//! Who has trouble again and again: identities with what went wrong for them over the last day, in a table that stays small.
//!
//! One drop is nobody's fault; the tenth in three hours is a device, an app or a place with something wrong. What goes wrong at one
//! time, however much of it, may be a network that failed for everybody: only what comes back over hours is told.

use crate::cause::{Cause, CauseKind};
use crate::gateway::{Closed, Missed, Role};
use crate::time::{Micros, Moment, UnixMillis};
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

/// Identities that are remembered.
const IDENTITIES_MAX: usize = 2_000;

/// So many hours are remembered.
const HOURS: u64 = 24;

const HOUR: Micros = Micros::from_secs(60 * 60);

/// After so many hours trouble counts half.
const HALF_LIFE_HOURS: f64 = 6.0;

/// Something went wrong in at least so many different hours, or it is not told. One loss falls into two at most: its end, and the
/// time at which it was waited for in vain.
const LEAST_HOURS: usize = 3;

/// A round-trip time of so much is slow: a signal that is nearly lost, or a queue that is full.
const SLOW: Micros = Micros::from_secs(2);

/// Round-trip times before the end that are looked at.
const LAST_RTTS: usize = 3;

/// Ages at the end that are compared.
const AGES: usize = 8;

/// Identities that have trouble.
#[derive(Debug, Default)]
pub(super) struct Troubled {
    by_identity: HashMap<Who, Trouble>,
}

/// Whose trouble it is: a user's glasses, or one of its apps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    user: Box<str>,
    package: Option<Box<str>>,
}

/// What went wrong for one identity.
#[derive(Debug, Default)]
struct Trouble {
    /// Hours in which something did, oldest first.
    hours: VecDeque<Hour>,
    /// How old its last connections were when they were dropped, in ms.
    ages: VecDeque<u64>,
}

#[derive(Debug, Clone, Default)]
struct Hour {
    /// By the monotonic clock.
    number: u64,
    first: Moment,
    last: Moment,
    sums: Sums,
}

/// What went wrong, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sums {
    /// By cause, in the order of [`Cause::index`]; only those with a drop.
    drops: Vec<(Cause, u16)>,
    slow: u16,
    /// Stale ones that were slow before.
    slow_stale: u16,
    failed_resumes: u16,
}

/// A place in the ranking.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ranked {
    pub(super) user: Box<str>,
    pub(super) package: Option<Box<str>>,
    pub(super) score: f64,
    /// What it looks like, in words.
    pub(super) pattern: String,
    pub(super) drops: u32,
    pub(super) stale: u32,
    pub(super) slow: u32,
    pub(super) failed_resumes: u32,
    pub(super) first_at: UnixMillis,
    pub(super) last_at: UnixMillis,
}

impl Troubled {
    /// Takes note of connections that have ended, as far as it was no good end.
    pub(super) fn note_closed<'a>(&mut self, closed: impl IntoIterator<Item = &'a Closed>) {
        for closed in closed {
            let Some(user) = closed.user.as_ref().filter(|_| !closed.is_anonymous()) else {
                continue;
            };
            let is_drop = closed.class.is_some() && is_drop(closed);
            let slow = closed.class.is_some() && is_slow(closed);
            if !is_drop && !slow {
                continue;
            }
            let who = Who {
                user: user.clone(),
                package: closed.package.clone(),
            };
            let trouble = self.of(who, closed.at);
            let sums = trouble.sums_at(closed.at);
            sums.slow = sums.slow.saturating_add(slow.into());
            if is_drop {
                sums.add_drops(closed.cause, 1);
                let slow_stale = slow && closed.cause == Cause::STALE;
                sums.slow_stale = sums.slow_stale.saturating_add(slow_stale.into());
                if trouble.ages.len() == AGES {
                    trouble.ages.pop_front();
                }
                trouble.ages.push_back(closed.age.as_millis());
            }
        }
    }

    /// Takes note of peers that were lost and did not come back in time. Who has left is not missed.
    pub(super) fn note_missed<'a>(&mut self, missed: impl IntoIterator<Item = &'a Missed>) {
        for missed in missed.into_iter().filter(|missed| missed.lost) {
            let who = Who {
                user: missed.identity.user.clone(),
                package: match &missed.identity.role {
                    Role::Glasses => None,
                    Role::Tpa(package) => Some(package.clone()),
                },
            };
            let sums = self.of(who, missed.at).sums_at(missed.at);
            sums.failed_resumes = sums.failed_resumes.saturating_add(1);
        }
    }

    /// Those with the most trouble, the worst first.
    pub(super) fn worst(&mut self, now: Moment, limit: usize) -> Vec<Ranked> {
        self.forget(now);
        let mut worst: Vec<(f64, &Who, &Trouble)> = self
            .by_identity
            .iter()
            .filter(|(_, trouble)| trouble.is_told())
            .map(|(who, trouble)| (trouble.score(now), who, trouble))
            .collect();
        // The name makes it the same order each time.
        worst.sort_by(|(a, x, _), (b, y, _)| {
            let by_name = || (&x.user, &x.package).cmp(&(&y.user, &y.package));
            b.total_cmp(a).then_with(by_name)
        });
        worst.truncate(limit);
        let ranked = |(score, who, trouble): (f64, &Who, &Trouble)| {
            let sums = trouble.sums();
            let (first_at, last_at) = trouble.span();
            Ranked {
                user: who.user.clone(),
                package: who.package.clone(),
                score,
                pattern: trouble.pattern(),
                drops: sums.all_drops(),
                stale: sums.drops_for(Cause::STALE).into(),
                slow: sums.slow.into(),
                failed_resumes: sums.failed_resumes.into(),
                first_at: first_at.wall,
                last_at: last_at.wall,
            }
        };
        worst.into_iter().map(ranked).collect()
    }

    /// How many have so much trouble that it is told.
    pub(super) fn count(&self) -> usize {
        let all = self.by_identity.values();
        all.filter(|trouble| trouble.is_told()).count()
    }

    fn of(&mut self, who: Who, now: Moment) -> &mut Trouble {
        if !self.by_identity.contains_key(&who) && self.by_identity.len() >= IDENTITIES_MAX {
            self.make_room(now);
        }
        self.by_identity.entry(who).or_default()
    }

    fn forget(&mut self, now: Moment) {
        let oldest = (now.raw.0 / HOUR.0).saturating_sub(HOURS - 1);
        self.by_identity.retain(|_, trouble| {
            trouble.hours.retain(|hour| hour.number >= oldest);
            !trouble.hours.is_empty()
        });
    }

    /// A quarter goes: those with trouble in the fewest hours, of these those with the least of it, and then those that had it longest
    /// ago. So a flood of names that have trouble at one time does not drive out those that have had it often.
    fn make_room(&mut self, now: Moment) {
        self.forget(now);
        let room = IDENTITIES_MAX / 4;
        let kept = IDENTITIES_MAX - room;
        if self.by_identity.len() <= kept {
            return;
        }
        let weigh = |t: &Trouble| (t.hours.len(), t.sums().problems(), t.span().1.raw);
        let all = self.by_identity.iter();
        let mut all: Vec<((usize, u32, Micros), Who)> =
            all.map(|(who, t)| (weigh(t), who.clone())).collect();
        all.sort_by_key(|(weight, _)| Reverse(*weight));
        for (_, who) in all.drain(kept..) {
            self.by_identity.remove(&who);
        }
    }
}

impl Trouble {
    /// The sums of the hour of this moment.
    fn sums_at(&mut self, at: Moment) -> &mut Sums {
        let number = at.raw.0 / HOUR.0;
        // Records of two boxes may be out of order by a moment: then it is the last hour still.
        if self.hours.back().is_none_or(|hour| hour.number < number) {
            if self.hours.len() as u64 == HOURS {
                self.hours.pop_front();
            }
            self.hours.push_back(Hour {
                number,
                first: at,
                ..Hour::default()
            });
        }
        let last = self.hours.len() - 1;
        let hour = &mut self.hours[last];
        if hour.last.raw <= at.raw {
            hour.last = at;
        }
        &mut hour.sums
    }

    /// Returns whether it came back in so many hours that it is told.
    fn is_told(&self) -> bool {
        self.hours.len() >= LEAST_HOURS
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for hour in &self.hours {
            for (cause, drops) in &hour.sums.drops {
                sums.add_drops(*cause, *drops);
            }
            sums.slow = sums.slow.saturating_add(hour.sums.slow);
            sums.slow_stale = sums.slow_stale.saturating_add(hour.sums.slow_stale);
            sums.failed_resumes = sums.failed_resumes.saturating_add(hour.sums.failed_resumes);
        }
        sums
    }

    fn score(&self, now: Moment) -> f64 {
        let hours = self.hours.iter().map(|hour| {
            let age = now.since(hour.last).0 as f64 / HOUR.0 as f64;
            hour.sums.weight() * 0.5_f64.powf(age / HALF_LIFE_HOURS)
        });
        hours.sum()
    }

    /// The first and the last time that something went wrong.
    fn span(&self) -> (Moment, Moment) {
        let first = self.hours.front().map(|hour| hour.first);
        let last = self.hours.back().map(|hour| hour.last);
        (first.unwrap_or_default(), last.unwrap_or_default())
    }

    fn pattern(&self) -> String {
        let (sums, (first, last)) = (self.sums(), self.span());
        let within = span(last.since(first).as_millis());
        let mut words = String::new();
        let mut say = |what: String| {
            let comma = if words.is_empty() { "" } else { ", " };
            let _ = write!(words, "{comma}{what}");
        };
        let drops = sums.all_drops();
        if let Some((most, n)) = sums.drops.iter().max_by_key(|(_, n)| *n) {
            let plural = if drops == 1 { "" } else { "s" };
            say(format!("{drops} drop{plural} in {within}"));
            if u32::from(*n) == drops {
                say(format!("all {most}"));
            } else {
                say(format!("{n} of them {most}"));
            }
        }
        let stale = sums.drops_for(Cause::STALE);
        if sums.slow_stale > 0 && sums.slow_stale >= stale.div_ceil(2) {
            say(format!("silence follows RTT above {} s", seconds(SLOW)));
        } else if sums.slow > 0 {
            let of = times(sums.slow.into());
            say(format!("RTT above {} s at the end {of}", seconds(SLOW)));
        }
        if let Some(age) = self.one_age() {
            say(format!("each after {}", span(age)));
        }
        if sums.failed_resumes > 0 {
            let n = times(sums.failed_resumes.into());
            let when = if drops == 0 {
                format!(" in {within}")
            } else {
                String::new()
            };
            say(format!("not back in time {n}{when}"));
        }
        words
    }

    /// The age at which its connections are dropped, if it is one and the same: then something on the way has a timeout.
    fn one_age(&self) -> Option<u64> {
        let (least, most) = (self.ages.iter().min()?, self.ages.iter().max()?);
        let is_one = self.ages.len() >= 3 && *least >= 1_000 && (most - least) * 20 <= *most;
        is_one.then_some(*most)
    }
}

impl Sums {
    fn add_drops(&mut self, cause: Cause, more: u16) {
        let at = |(known, _): &(Cause, u16)| known.index().cmp(&cause.index());
        match self.drops.binary_search_by(at) {
            Ok(at) => self.drops[at].1 = self.drops[at].1.saturating_add(more),
            Err(at) => self.drops.insert(at, (cause, more)),
        }
    }

    fn drops_for(&self, cause: Cause) -> u16 {
        let found = self.drops.iter().find(|(known, _)| *known == cause);
        found.map_or(0, |(_, n)| *n)
    }

    fn all_drops(&self) -> u32 {
        self.drops.iter().map(|(_, n)| u32::from(*n)).sum()
    }

    fn problems(&self) -> u32 {
        self.all_drops() + u32::from(self.slow) + u32::from(self.failed_resumes)
    }

    /// A drop counts one; that nobody said goodbye, or that it was slow, half as much beside it.
    fn weight(&self) -> f64 {
        let halves = u32::from(self.drops_for(Cause::STALE)) + u32::from(self.slow);
        f64::from(self.all_drops()) + 0.5 * f64::from(halves) + f64::from(self.failed_resumes)
    }
}

/// Whether a connection ended by nobody's will, or by a fault. One whose place was taken had been lost before if it did not
/// answer any more.
fn is_drop(closed: &Closed) -> bool {
    let is_fault = closed.cause.kind() == CauseKind::Fault;
    let was_lost = closed.cause == Cause::REPLACED && closed.unanswered > 0;
    closed.lost || is_fault || was_lost
}

fn is_slow(closed: &Closed) -> bool {
    let smoothed = closed.rtt.srtt_us().map(|us| Micros(us.into()));
    let history = closed.history.iter().flat_map(|history| &history.rtts);
    let last = history.rev().take(LAST_RTTS).map(|(_, rtt)| *rtt);
    last.chain(smoothed).any(|rtt| rtt >= SLOW)
}

fn seconds(span: Micros) -> u64 {
    span.0 / 1_000_000
}

fn times(n: u32) -> String {
    match n {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}

/// A span of ms in words, rounded.
fn span(ms: u64) -> String {
    let seconds = (ms + 500) / 1_000;
    let minutes = (seconds + 30) / 60;
    match seconds {
        0..=90 => format!("{} s", seconds.max(1)),
        _ if minutes <= 90 => format!("{minutes} min"),
        _ => format!("{} h", (minutes + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::{By, Code};
    use crate::gateway::{GLASSES, Identity, TPA};
    use crate::health::Rtt;

    const HOUR_MS: u64 = HOUR.as_millis();
    const START: u64 = 500 * 24 * HOUR_MS;

    /// The wall clock is what it is when nobody steps it.
    fn moment(ms: u64) -> Moment {
        Moment {
            raw: Micros::from_millis(ms),
            wall: UnixMillis(ms),
        }
    }

    fn closed(user: &str, at: u64, cause: Cause, rtt_ms: u64, age_s: u64) -> Closed {
        let mut rtt = Rtt::default();
        rtt.sample(rtt_ms * 1_000);
        Closed {
            generated: false,
            at: moment(at),
            id: crate::id::ConnId::new(1, 1),
            class: Some(if user.ends_with("app") { TPA } else { GLASSES }),
            user: Some(user.into()),
            package: user.ends_with("app").then(|| "org.a".into()),
            user_agent: None,
            peer_addr: ([127, 0, 0, 1], 1).into(),
            cause,
            by: By::Us,
            lost: cause.is_loss(Code::None),
            code: Code::None,
            reason: "".into(),
            clean: false,
            age: Micros::from_secs(age_s),
            silence: Micros::ZERO,
            unanswered: 0,
            rtt,
            traffic: crate::engine::Traffic::default(),
            history: None,
        }
    }

    fn missed(user: &str, at: u64, cause: Cause) -> Missed {
        let role = Role::Glasses;
        let user = user.into();
        Missed {
            at: moment(at),
            identity: Identity { user, role },
            cause,
            lost: cause.is_loss(Code::None),
        }
    }

    /// The one place of a ranking.
    #[track_caller]
    fn one(troubled: &mut Troubled, now: u64) -> Ranked {
        let worst = troubled.worst(moment(now), 10);
        assert_eq!(worst.len(), 1, "{worst:?}");
        worst[0].clone()
    }

    #[test]
    fn the_pattern_is_told_in_words() {
        let mut troubled = Troubled::default();
        let step = 3 * HOUR_MS / 11;
        for n in 0..12 {
            let (at, age) = (START + n * step, 100 + n * 37);
            troubled.note_closed(&[closed("ada", at, Cause::STALE, 2_500, age)]);
        }
        let found = one(&mut troubled, START + 3 * HOUR_MS);
        assert_eq!(
            found.pattern,
            "12 drops in 3 h, all stale, silence follows RTT above 2 s"
        );
        assert_eq!((found.drops, found.stale, found.slow), (12, 12, 12));
        assert_eq!(found.first_at, UnixMillis(START));
        assert_eq!(found.last_at, UnixMillis(START + 11 * step));
        assert_eq!((&*found.user, found.package), ("ada", None));

        let mut troubled = Troubled::default();
        for n in 0..25 {
            let at = START + n * 301_000;
            troubled.note_closed(&[closed("an-app", at, Cause::PEER_EOF, 20, 300)]);
        }
        let found = one(&mut troubled, START + 3 * HOUR_MS);
        assert_eq!(
            found.pattern,
            "25 drops in 2 h, all peer_eof, each after 5 min"
        );
        assert_eq!(found.package.as_deref(), Some("org.a"));

        let mut troubled = Troubled::default();
        let causes = [Cause::STALE, Cause::PEER_RESET, Cause::STALE];
        for (n, cause) in causes.into_iter().enumerate() {
            let n = n as u64;
            let rtt = if n == 1 { 3_000 } else { 20 };
            let record = closed("ada", START + n * HOUR_MS, cause, rtt, 10 + n * 100);
            troubled.note_closed(&[record]);
            troubled.note_missed(&[missed("ada", START + n * HOUR_MS, cause)]);
        }
        assert_eq!(
            one(&mut troubled, START + 2 * HOUR_MS).pattern,
            "3 drops in 2 h, 2 of them stale, RTT above 2 s at the end once, not back in time 3 times"
        );

        let mut troubled = Troubled::default();
        for n in 0..3 {
            troubled.note_missed(&[missed("ada", START + n * HOUR_MS, Cause::PEER_EOF)]);
        }
        assert_eq!(
            one(&mut troubled, START + 2 * HOUR_MS).pattern,
            "not back in time 3 times in 2 h"
        );
    }

    #[test]
    fn who_leaves_has_no_trouble() {
        let mut troubled = Troubled::default();
        for n in 0..10 {
            let at = START + n;
            troubled.note_closed(&[
                closed("ada", at, Cause::PEER_CLOSED, 20, 60),
                closed("ada", at, Cause::REPLACED, 20, 60),
                closed("ada", at, Cause::DRAINING, 20, 60),
                Closed {
                    generated: true,
                    ..closed("anonymous-1", at, Cause::STALE, 20, 60)
                },
                Closed {
                    class: None,
                    ..closed("ada", at, Cause::HANDSHAKE_TIMEOUT, 20, 60)
                },
            ]);
            troubled.note_missed(&[missed("ada", at, Cause::PEER_CLOSED)]);
        }
        assert_eq!(troubled.worst(moment(START), 10), []);
        // Whose place was taken while it did not answer had been lost.
        for n in 0..3 {
            troubled.note_closed(&[Closed {
                unanswered: 1,
                ..closed("ada", START + n * HOUR_MS, Cause::REPLACED, 20, 60 * n)
            }]);
        }
        let found = one(&mut troubled, START + 2 * HOUR_MS);
        assert_eq!(found.pattern, "3 drops in 2 h, all replaced");
    }

    #[test]
    fn trouble_fades_and_is_forgotten() {
        let mut troubled = Troubled::default();
        for hours_ago in [2, 1, 1, 0] {
            let at = START - hours_ago * HOUR_MS;
            troubled.note_closed(&[closed("ada", at, Cause::PEER_EOF, 20, hours_ago)]);
        }
        let score = |troubled: &mut Troubled, hours: u64| {
            let worst = troubled.worst(moment(START + hours * HOUR_MS), 10);
            worst.first().map(|ranked| (ranked.score * 100.0).round())
        };
        assert_eq!(score(&mut troubled, 0), Some(358.0));
        assert_eq!(score(&mut troubled, 6), Some(179.0));
        assert_eq!(score(&mut troubled, 12), Some(89.0));
        // Two of the hours are remembered, which is not enough.
        assert_eq!(score(&mut troubled, 22), None);
        assert_eq!((troubled.by_identity.len(), troubled.count()), (1, 0));
        assert_eq!(score(&mut troubled, 24), None);
        assert!(troubled.by_identity.is_empty());
    }

    #[test]
    fn the_worst_come_first_and_a_flood_of_names_does_not_drive_them_out() {
        let mut troubled = Troubled::default();
        for n in 0..10 {
            for nth in 0..n + 3 {
                let (user, at) = (format!("bad{n}"), START - (2 - nth.min(2)) * HOUR_MS);
                troubled.note_closed(&[closed(&user, at, Cause::STALE, 20, 5)]);
            }
        }
        // A flood that has more of it, at one time.
        for n in 0..10_000 {
            let user = format!("once{n}");
            for _ in 0..20 {
                troubled.note_closed(&[closed(&user, START + n, Cause::PEER_EOF, 20, 5)]);
            }
            assert!(troubled.by_identity.len() <= IDENTITIES_MAX);
        }
        let worst = troubled.worst(moment(START), 3);
        let users: Vec<&str> = worst.iter().map(|ranked| &*ranked.user).collect();
        assert_eq!(users, ["bad9", "bad8", "bad7"]);
    }

    /// Whatever went wrong for them: each is dropped when it is slow, and is waited for in vain, which makes three problems; some
    /// come back and are lost again, for as long as the network is bad; and the hour may end meanwhile.
    #[test]
    fn one_mass_death_fills_no_ranking() {
        let mut troubled = Troubled::default();
        let died = START + HOUR_MS - 2_000;
        // One of them had been lost in each of the hours before.
        for hours_ago in [2, 1] {
            let at = died - hours_ago * HOUR_MS;
            troubled.note_closed(&[closed("ada", at, Cause::PEER_EOF, 20, 60)]);
        }
        troubled.note_closed(&[closed("ada", died, Cause::STALE, 20, 60)]);
        for n in 0..500 {
            let user = format!("peer{n}");
            for again in 0..n % 6 {
                let at = died + again * 300_000;
                troubled.note_closed(&[closed(&user, at, Cause::STALE, 2_500, 60)]);
                troubled.note_missed(&[missed(&user, at + 60_000, Cause::STALE)]);
            }
        }
        for after in [60_000, 30 * 60_000, 5 * HOUR_MS] {
            let found = one(&mut troubled, died + after);
            assert_eq!((&*found.user, found.drops), ("ada", 3));
            assert_eq!(troubled.count(), 1);
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_neither_forgets_trouble_nor_ages_it() {
        for step in [-600_000_i64, -30 * HOUR_MS as i64, 30 * HOUR_MS as i64] {
            let stepped = |ms: u64| Moment {
                wall: UnixMillis(ms.saturating_add_signed(step)),
                ..moment(ms)
            };
            let mut troubled = Troubled::default();
            for n in 0..4 {
                let mut record = closed("ada", START + n * HOUR_MS, Cause::PEER_EOF, 20, n);
                if n >= 2 {
                    record.at = stepped(START + n * HOUR_MS);
                }
                troubled.note_closed(&[record]);
            }
            let worst = troubled.worst(stepped(START + 3 * HOUR_MS), 10);
            assert_eq!(worst.len(), 1, "{step}");
            assert_eq!((worst[0].score * 10.0).round(), 34.0, "{step}");
            let pattern = &worst[0].pattern;
            assert_eq!(pattern, "4 drops in 3 h, all peer_eof", "{step}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_and_a_day_of_drops_stay_small() {
        let mut troubled = Troubled::default();
        for n in (0..1_000).rev() {
            let at = START + (n % 100) * HOUR_MS;
            troubled.note_closed(&[closed("ada", at, Cause::STALE, 20, 5)]);
        }
        let (_, trouble) = troubled.by_identity.iter().next().expect("ada");
        assert!(trouble.hours.len() as u64 <= HOURS && trouble.ages.len() == AGES);
    }
}
