//! Facts about a connection's health that take a bit each.

use super::policy::{AliveBy, HeartbeatForm, Policy};
use super::state::HealthState;

/// Something that may be a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the engine names each kind of input"
)]
pub enum LifeSign {
    /// A ping, a close, or a pong that answers no heartbeat of ours.
    Control,
    /// The pong of a heartbeat of ours.
    Pong,
    /// The end of a data message.
    Data,
    /// A part of a data message, inside of which the peer cannot answer a heartbeat. Where data is
    /// no sign of life, its silence does not count until then.
    DataPart,
    /// An answer to a heartbeat in the form of a text.
    Answer,
}

/// Facts about a connection's health, in one byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks(u8);

/// The peer is suspect.
const SUSPECT: u8 = 1;
/// Control frames that answer no heartbeat of ours are no sign of life.
const IGNORES_CONTROL: u8 = 1 << 1;
/// Pongs are no sign of life.
const IGNORES_PONGS: u8 = 1 << 2;
/// Data is no sign of life.
const IGNORES_DATA: u8 = 1 << 3;
/// Heartbeats are texts.
const TEXT: u8 = 1 << 4;
/// A message of ours in fragments is begun and not complete.
const MID_MESSAGE: u8 = 1 << 5;

/// The marks that follow from the policy.
const OF_POLICY: u8 = IGNORES_CONTROL | IGNORES_PONGS | IGNORES_DATA | TEXT;

impl Marks {
    /// Returns the marks of a healthy peer.
    pub(super) fn new(policy: &Policy) -> Self {
        let mut marks = Marks(0);
        marks.apply(policy);
        marks
    }

    /// Sets the marks that follow from the policy.
    pub(super) fn apply(&mut self, policy: &Policy) {
        let ignores = match policy.alive_by {
            AliveBy::Any => 0,
            AliveBy::Data => IGNORES_CONTROL | IGNORES_PONGS,
            AliveBy::Pong => IGNORES_CONTROL | IGNORES_DATA,
        };
        let form = match policy.heartbeat_form {
            HeartbeatForm::Ping => 0,
            HeartbeatForm::Text => TEXT,
        };
        self.0 = self.0 & !OF_POLICY | ignores | form;
    }

    pub(super) fn state(self) -> HealthState {
        match self.0 & SUSPECT {
            0 => HealthState::Healthy,
            _ => HealthState::Suspect,
        }
    }

    pub(super) fn set_state(&mut self, state: HealthState) {
        self.set(SUSPECT, state == HealthState::Suspect);
    }

    pub(super) fn counts(self, sign: LifeSign) -> bool {
        let ignores = match sign {
            LifeSign::Control => IGNORES_CONTROL,
            LifeSign::Pong => IGNORES_PONGS,
            LifeSign::Data | LifeSign::DataPart => IGNORES_DATA,
            LifeSign::Answer => 0,
        };
        self.0 & ignores == 0
    }

    /// Returns whether everything that arrives is a sign of life.
    pub(super) fn counts_all(self) -> bool {
        self.0 & (IGNORES_CONTROL | IGNORES_PONGS | IGNORES_DATA) == 0
    }

    /// Returns whether the peer is healthy, and a pong of a heartbeat keeps it so.
    pub(super) fn is_kept_healthy_by_pongs(self) -> bool {
        self.0 & (SUSPECT | IGNORES_PONGS) == 0
    }

    pub(super) fn form(self) -> HeartbeatForm {
        match self.0 & TEXT {
            0 => HeartbeatForm::Ping,
            _ => HeartbeatForm::Text,
        }
    }

    pub(super) fn use_pings(&mut self) {
        self.set(TEXT, false);
    }

    pub(super) fn is_mid_message(self) -> bool {
        self.0 & MID_MESSAGE != 0
    }

    pub(super) fn set_mid_message(&mut self, is_mid_message: bool) {
        self.set(MID_MESSAGE, is_mid_message);
    }

    fn set(&mut self, mark: u8, on: bool) {
        if on {
            self.0 |= mark;
        } else {
            self.0 &= !mark;
        }
    }
}
