//! What late heartbeats promise: each is late once, in time, and only if nothing was heard.

use super::host::HealthNews;
use super::world::{PING_GRID, World};
use pulsegate::health::{AliveBy, HeartbeatForm, Policy};
use pulsegate::time::Micros;

/// What the model knows of the late heartbeats of one peer.
#[derive(Default)]
pub(super) struct LateShadow {
    /// How much of the host's news was checked.
    news: usize,
    /// How many late heartbeats the host was told of, and when the latest of them was sent.
    count: u64,
    latest: Option<Micros>,
    /// How many of the heartbeats that were sent are checked, because they are late or will never
    /// be.
    beats: usize,
}

/// The time after which a heartbeat of this policy is late. All intervals here are short, so it
/// does not depend on the round-trip time.
fn late_after(policy: &Policy) -> Micros {
    Micros(policy.heartbeat_interval.0 / 2)
}

/// The most that a heartbeat is later: the step between two queues, and the grid.
fn slack(after: Micros) -> Micros {
    Micros(after.0 / 8 + PING_GRID.0 + 2_000)
}

impl World {
    pub(super) fn check_late(&mut self, index: usize) -> Result<(), String> {
        let id = self.net.id(self.shadows[index].peer);
        let news = self.net.host().told_health.get(&id);
        let seen = self.shadows[index].late.news;
        let news = news.map_or_else(Vec::new, |news| news[seen..].to_vec());
        self.shadows[index].late.news += news.len();
        for news in news {
            match news {
                HealthNews::Late { at, sent } => self.check_late_news(index, at, sent)?,
                HealthNews::Suspect { at } => self.check_suspect_news(index, at)?,
            }
        }
        let (peer, count) = (self.shadows[index].peer, self.shadows[index].late.count);
        let asked = self.net.kernel_asked(peer);
        if asked != count {
            return Err(format!(
                "{count} late, and the kernel was asked {asked} times"
            ));
        }
        self.check_forgotten(index)
    }

    fn check_late_news(&mut self, index: usize, at: Micros, sent: Micros) -> Result<(), String> {
        let shadow = &self.shadows[index];
        if !self.net.heartbeats_sent_at(shadow.peer).contains(&sent) {
            return Err(format!("late at {at}, but none was sent at {sent}"));
        }
        if shadow.late.latest.is_some_and(|latest| latest >= sent) {
            return Err(format!("the heartbeat sent at {sent} is late again"));
        }
        if shadow.paused {
            return Err("late although it is not read".to_owned());
        }
        let policy = self.policies[shadow.class];
        // Which policy it was sent under is not known if that has changed since.
        if sent > self.policy_since[shadow.class] {
            let (due, most) = (sent + late_after(&policy), slack(late_after(&policy)));
            if at < due || !shadow.ever_unread && at > due + most {
                return Err(format!("sent at {sent}, due at {due}, late at {at}"));
            }
        }
        if let Some(heard) = self.answered_since(index, sent, at) {
            return Err(format!(
                "sent at {sent}, heard at {heard}, and late at {at}"
            ));
        }
        let late = &mut self.shadows[index].late;
        (late.latest, late.count) = (Some(sent), late.count + 1);
        Ok(())
    }

    /// Checks that a peer that is pinged without hindrance was late before it is suspect.
    fn check_suspect_news(&mut self, index: usize, at: Micros) -> Result<(), String> {
        let shadow = &self.shadows[index];
        let policy = self.policies[shadow.class];
        let since = at - Micros(2 * policy.heartbeat_interval.0);
        let is_plain = !shadow.ever_windowed && !shadow.ever_unread;
        let is_steady = since > self.policy_since[shadow.class];
        let is_text = policy.heartbeat_form == HeartbeatForm::Text;
        if !is_plain || !is_steady || is_text || policy.alive_by != AliveBy::Any {
            return Ok(());
        }
        match shadow.late.latest {
            Some(sent) if sent >= since => Ok(()),
            latest => Err(format!(
                "suspect at {at}, and the latest late one is {latest:?}"
            )),
        }
    }

    /// Returns when the peer was heard after a heartbeat that was sent at `sent`, up to `at`.
    fn answered_since(&self, index: usize, sent: Micros, at: Micros) -> Option<Micros> {
        let shadow = &self.shadows[index];
        let heard = self.heard_at(index, at);
        // What is heard in the same instant may be heard before the heartbeat, unless it answers.
        let answers = self.net.answered_at(shadow.peer);
        let is_answered = shadow.latency == 0 && answers.contains(&sent);
        (heard > sent || is_answered).then_some(heard)
    }

    /// Checks that every heartbeat that must be late by now is.
    fn check_forgotten(&mut self, index: usize) -> Result<(), String> {
        let now = self.net.now();
        let shadow = &self.shadows[index];
        let policy = self.policies[shadow.class];
        let after = late_after(&policy);
        let due = |sent: Micros| sent + after + slack(after);
        let beats = self.net.heartbeats_sent_at(shadow.peer);
        let first = shadow.late.beats;
        let settled = beats[first..].iter().take_while(|sent| due(**sent) < now);
        let settled: Vec<Micros> = settled.copied().collect();
        self.shadows[index].late.beats += settled.len();
        let shadow = &self.shadows[index];
        let is_judged = self.net.is_open(shadow.peer)
            && !shadow.ever_windowed
            && !shadow.ever_unread
            && !self.limited
            && shadow.latency == 0
            && shadow.host_rest.is_none();
        for sent in settled.into_iter().filter(|_| is_judged) {
            let is_steady = sent > self.policy_since[shadow.class];
            let heard = self.heard_at(index, now) >= sent;
            let answers = self.net.answered_at(shadow.peer).iter();
            let is_answered = answers.clone().any(|answer| *answer >= sent);
            let is_late = shadow.late.latest.is_some_and(|latest| latest >= sent);
            if is_steady && !heard && !is_answered && !is_late {
                return Err(format!("the heartbeat sent at {sent} is not late at {now}"));
            }
        }
        Ok(())
    }
}
