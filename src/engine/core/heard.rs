//! Signs of life: which input is one, and what the host is told of it.

use super::core::Core;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::flags::Flag;
use crate::engine::life_news::LifeNews;
use crate::engine::message::Pong;
use crate::health::{HealthState, LifeSign};

impl Core {
    /// Records input of this kind, if it is a sign of life. Returns what the host must be told.
    pub(crate) fn hear(&mut self, id: ConnId, sign: LifeSign, now: Micros) -> Option<LifeNews> {
        let conn = self.table.get_mut(id)?;
        let sign = match sabotage::on(Bug::ControlFramesCountAsData) {
            true => LifeSign::Data,
            false => sign,
        };
        if !conn.health.counts(sign) {
            match sign {
                LifeSign::DataPart => conn.health.on_progress(now),
                LifeSign::Pong | LifeSign::Answer => self.forget_evidence(id),
                LifeSign::Control | LifeSign::Data => {}
            }
            return None;
        }
        let silence = conn.health.silence(now);
        let (change, class) = (conn.health.on_heard(now), conn.class);
        let is_false_alarm = conn.flags.take(Flag::WouldClose);
        if conn.flags.take(Flag::StaleQueued) {
            self.arm(id);
        }
        if change.is_none() && !is_false_alarm {
            return None;
        }
        let class = &mut self.stats.classes[usize::from(class.0)];
        if let Some(change) = change {
            debug_assert_eq!(change.state, HealthState::Healthy);
            class.suspects -= 1;
        }
        class.would_close_wrong += u64::from(is_false_alarm);
        Some(LifeNews {
            change,
            false_alarm: is_false_alarm.then_some(silence),
            pong: None,
        })
    }

    /// Takes the answer to the heartbeat with this number, which the host has found in a message.
    pub(crate) fn heartbeat_answered(
        &mut self,
        id: ConnId,
        number: u64,
        now: Micros,
    ) -> Option<Micros> {
        let conn = self.table.get_mut(id).filter(|c| c.is_open())?;
        let sign = match conn.health.is_own_number(number) {
            true => LifeSign::Answer,
            false => LifeSign::Data,
        };
        let rtt = conn.health.on_answer(number, now);
        let pong = rtt.and_then(|rtt| self.count_pong(id, rtt, Micros::ZERO, now));
        let news = self.hear(id, sign, now);
        if news.is_some() || pong.is_some() {
            let news = news.unwrap_or_default();
            self.life_news.push_back((id, LifeNews { pong, ..news }));
        }
        rtt
    }

    /// Counts an answered heartbeat that was sent after an idle gap. Returns what the host is told,
    /// if it watches the connection.
    pub(crate) fn count_pong(
        &mut self,
        id: ConnId,
        rtt: Micros,
        gap: Micros,
        now: Micros,
    ) -> Option<Pong> {
        let conn = self.table.get_mut(id)?;
        self.foresight.on_answer(conn, now);
        let class = &mut self.stats.classes[usize::from(conn.class.0)];
        class.pongs += 1;
        class.rtt.record(rtt.0);
        let is_watched = conn.flags.has(Flag::ReportsPongs);
        if self.config.cadence.is_some() {
            self.pace_answered(id, gap, now);
        }
        is_watched.then(|| Pong {
            rtt,
            received: self.receipts.read(id),
        })
    }
}
