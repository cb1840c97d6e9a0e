//! Dialling: making a connection as a client.

use super::core::Core;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::{Conn, Phase};
use crate::engine::dial::{Dial, DialAddress, DialError};
use crate::engine::drain::DrainState;
use crate::engine::flags::Flag;
use crate::engine::handshake_out::{DialStage, Dialing};
use crate::engine::timers::TimerPurpose;
use crate::wire::http::key_of;
use std::net::{Ipv4Addr, SocketAddr};

/// Delay before a dial to a full accept queue is retried.
const RETRY_AFTER: Micros = Micros::from_millis(10);

/// The address of a peer behind a Unix socket, which has none.
const NO_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Core {
    /// Begins to connect to a server. The driver makes the connection.
    pub(crate) fn dial(&mut self, dial: Dial, now: Micros) -> Result<ConnId, DialError> {
        if let Some(fault) = dial.request.fault() {
            return Err(fault.into());
        }
        let classes = self.config.classes.len();
        if usize::from(dial.class.0) >= classes {
            let class = dial.class;
            return Err(DialError::NoSuchClass { class, classes });
        }
        if let Some(policy) = &dial.policy {
            policy.validate()?;
        }
        if matches!(self.drain, DrainState::Stopped) || self.is_full() {
            return Err(DialError::Stopped);
        }
        let policy = match dial.policy {
            None => self.policies.newest(),
            Some(own) => {
                let adopted = self.policies.adopt(own);
                adopted.ok_or(DialError::TooManyPolicies)?
            }
        };
        let key = key_of(self.entropy.take());
        let dialing = Dialing {
            stage: DialStage::Connect,
            request: dial.request.render(&key),
            key,
            answer_timeout: dial.answer_timeout,
            due: now + dial.connect_timeout,
            bytes: Vec::new(),
            refusal: None,
            held: 0,
        };
        let peer_addr = match &dial.address {
            DialAddress::Tcp(addr) | DialAddress::TcpFrom(addr, _) => *addr,
            DialAddress::Unix(_) => NO_ADDRESS,
        };
        self.wheel.catch_up(now);
        let id = self.table.insert(|generation| {
            let mut conn = Conn::accepted(generation, peer_addr, now);
            for flag in [Flag::Dialed, Flag::NeedsOnClose, Flag::Identified] {
                conn.flags.set(flag);
            }
            conn.class = dial.class;
            conn.policy = policy;
            conn.phase = Phase::Dialing(Box::new(dialing));
            conn
        });
        self.stats.dialed += 1;
        self.stats.dialed_here += 1;
        self.update_held_head(id);
        self.arm(id);
        self.dials.push_back((id, dial.address));
        Ok(id)
    }

    /// Keeps a dial that found a full accept queue until it is retried.
    pub(crate) fn dial_again(&mut self, id: ConnId, address: DialAddress, now: Micros) {
        self.busy_dials.push((id, address));
        if !self.timers.is_running(TimerPurpose::DialRetry) {
            self.start_timer(TimerPurpose::DialRetry, now + RETRY_AFTER, now);
        }
    }

    /// Re-queues the dials that found a full accept queue, ahead of newer ones.
    pub(crate) fn repeat_dials(&mut self) {
        for dial in self.busy_dials.drain(..).rev() {
            self.dials.push_front(dial);
        }
    }
}
