//! Since when an address is in its condition, and why.

use crate::base::time::Micros;
use crate::bridge::upstream_row::UpstreamCondition;
use log::Level;

/// The longest reason, in bytes: an error of the system, or a part of an answer.
const REASON_MAX: usize = 200;

/// The condition of an address, since when it lasts, and why.
#[derive(Debug)]
pub(super) struct Standing {
    condition: UpstreamCondition,
    since: Micros,
    reason: Box<str>,
}

impl Default for Standing {
    fn default() -> Self {
        Standing {
            condition: UpstreamCondition::Up,
            since: Micros::ZERO,
            reason: Box::default(),
        }
    }
}

impl Standing {
    /// Notes the condition as it is now, and why. Returns whether it has changed.
    pub(super) fn change(&mut self, condition: UpstreamCondition, now: Micros, why: &str) -> bool {
        if self.condition == condition {
            return false;
        }
        let cut = why.floor_char_boundary(REASON_MAX);
        *self = Standing {
            condition,
            since: now,
            reason: why[..cut].into(),
        };
        true
    }

    /// Returns the engine time of the last change; 0: there was none.
    pub(super) fn since(&self) -> Micros {
        self.since
    }

    /// Returns the reason of the last change; empty if there was none.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the level at which the last change is logged: what an operator has done is no
    /// warning.
    pub(super) fn level(&self) -> Level {
        match self.condition {
            UpstreamCondition::Unhealthy
            | UpstreamCondition::Avoided
            | UpstreamCondition::Unresponsive
            | UpstreamCondition::Refusing
            | UpstreamCondition::Unresolved => Level::Warn,
            UpstreamCondition::Up
            | UpstreamCondition::Drained
            | UpstreamCondition::Vanished
            | UpstreamCondition::Removed => Level::Info,
        }
    }
}
