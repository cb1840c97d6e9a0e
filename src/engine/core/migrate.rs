//! Changes of policies and limits while connections exist.

use super::core::{Core, seed};
use super::progress::PolicyMigration;
use crate::base::id::{Class, ConnId};
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::bucket::Bucket;
use crate::engine::config::{Config, ReconfigureError, SetPolicyError};
use crate::engine::conn::Phase;
use crate::engine::flags::Flag;
use crate::health::Policy;

impl Core {
    pub(crate) fn set_policy(
        &mut self,
        class: Class,
        policy: Policy,
    ) -> Result<(), SetPolicyError> {
        policy.validate()?;
        if self.policies.set(class, policy) {
            self.begin_migration();
            return Ok(());
        }
        let classes = self.policies.classes().len();
        Err(SetPolicyError::NoSuchClass { class, classes })
    }

    /// Starts to apply the policies that were set to all connections, over a few turns. Changes run
    /// one after the other, so that no connection has more than one former policy. Changes set in
    /// the meantime are applied together.
    fn begin_migration(&mut self) {
        match &mut self.migration {
            Some(migration) => migration.restart = true,
            None => {
                self.policies.begin_migration();
                self.migration = Some(PolicyMigration::default());
            }
        }
    }

    /// Migrates the next 1 024 slots to the new policies and arms the deadlines that became
    /// earlier. Migrating 100 000 slots at once would delay every heartbeat.
    pub(crate) fn migrate_batch(&mut self, now: Micros) {
        const SLOTS: u32 = 1_024;
        let Some(PolicyMigration { next_slot, restart }) = self.migration else {
            return;
        };
        let until = next_slot.saturating_add(SLOTS).min(self.table.bound());
        for slot in next_slot..until {
            if let Some(id) = self.table.id_in_slot(slot) {
                self.migrate_conn(id, now);
                self.arm(id);
            }
        }
        if until < self.table.bound() {
            self.migration = Some(PolicyMigration {
                next_slot: until,
                restart,
            });
            return;
        }
        self.policies.end_migration();
        self.migration = None;
        if restart {
            self.begin_migration();
        }
    }

    fn migrate_conn(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        let pace = conn.policy.pace();
        let change = self.policies.migrate(conn.class, &mut conn.policy);
        if conn.policy.pace() != pace {
            self.foresight.cohorts.leave_pace(conn.cohort, pace);
        }
        if let (Some((former, policy)), Phase::Open(_)) = (change, &conn.phase)
            && !sabotage::on(Bug::ChangeUnseen)
        {
            conn.health.change_policy(former, policy, now, seed(id));
            if conn.flags.has(Flag::Linked) {
                conn.health.use_pings();
            }
        }
    }

    /// Applies new limits and policies. The classes' names do not change.
    pub(crate) fn reconfigure(&mut self, config: Config) -> Result<(), ReconfigureError> {
        config.validate()?;
        let (given, classes) = (config.classes.len(), self.policies.classes().len());
        if given != classes {
            return Err(ReconfigureError::OtherClasses { given, classes });
        }
        let mut changed = config.handshake_timeout < self.config.handshake_timeout;
        for (class, wanted) in config.classes.iter().enumerate() {
            if self.policies.classes()[class] != wanted.policy {
                self.policies.set(Class(class as u8), wanted.policy);
                changed = true;
            }
        }
        if config.cadence != self.config.cadence {
            self.policies.set_paces(config.cadence.is_some());
            changed = true;
        }
        if changed {
            self.begin_migration();
        }
        if config.stale_closes_per_second != self.config.stale_closes_per_second {
            self.bucket = Bucket::new(config.stale_closes_per_second);
        }
        self.config = Config {
            classes: std::mem::take(&mut self.config.classes),
            causes: self.config.causes,
            ..config
        };
        Ok(())
    }
}
