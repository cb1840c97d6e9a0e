//! A host whose paths make messages expensive, and helpers that run turns.

use crate::nets::check_invariants;
use pulsegate::engine::{Config, Handler, Io, Message, Request, Verdict};
use pulsegate::testing::{Net, PeerId, Received, client_frame};
use pulsegate::{Class, ConnId, Micros};

/// The cost of a frame without further work: its own unit.
pub const FRAME: u32 = 1;

/// Counts messages. `/fan` sends each to all of `/sink`, `/dear` spends 1 000 units on each,
/// `/pause` stops reading from its sender at each. Messages of `/sink` are only counted.
#[derive(Default)]
pub struct Host {
    pub sinks: Vec<ConnId>,
    pub fans: Vec<ConnId>,
    pub dear: Vec<ConnId>,
    pub pausing: Vec<ConnId>,
    pub heard: Vec<(ConnId, Vec<u8>)>,
    pub throttled: Vec<(ConnId, Micros)>,
}

impl Handler for Host {
    fn on_request(&mut self, _: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        match request.path() {
            "/sink" => self.sinks.push(id),
            "/fan" => self.fans.push(id),
            "/dear" => self.dear.push(id),
            "/pause" => self.pausing.push(id),
            "/introduced" => return Verdict::upgrade(Class(1)),
            _ => {}
        }
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        if self.fans.contains(&id) {
            io.send_many(self.sinks.iter().copied(), &message);
        }
        if self.dear.contains(&id) {
            io.spend(1_000);
        }
        if self.pausing.contains(&id) {
            io.pause_reading(id);
        }
        self.heard.push((id, message.into_data().to_vec()));
    }

    fn on_throttled(&mut self, _: &mut Io<'_>, id: ConnId, waited: Micros) {
        self.throttled.push((id, waited));
    }
}

pub fn net(config: Config) -> Net<Host> {
    Net::new(config, Host::default())
}

pub fn numbered(count: usize) -> Vec<u8> {
    let frame = |i: usize| client_frame(0x82, &(i as u32).to_be_bytes());
    (0..count).flat_map(frame).collect()
}

/// Runs one turn; returns the units that it cost.
pub fn turn(net: &mut Net<Host>) -> u64 {
    let before = net.engine().stats().work_units;
    net.run_turn();
    check_invariants(net);
    net.engine().stats().work_units - before
}

pub fn pongs(net: &mut Net<Host>, peer: PeerId) -> usize {
    let received = net.received(peer);
    let is_pong = |r: &&Received| matches!(r, Received::Pong(_));
    received.iter().filter(is_pong).count()
}

pub fn small_memory() -> Net<Host> {
    net(Config {
        max_pending_bytes: 2 << 20,
        max_buffered_bytes: 64 << 20,
        ..Config::default()
    })
}
