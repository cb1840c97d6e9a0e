//! Openings of pairs: a client's request, the dial, the answer, and frames right behind either.

use super::side::Side;
use super::world::{ANSWER_TIMEOUT, CONNECT_TIMEOUT};
use super::world::{Pair, Stage, TICK, World};
use pulsegate::cause::Cause;
use pulsegate::testing::{OnDial, upgrade_request, upgrade_response};
use pulsegate::time::Micros;
use std::io::ErrorKind;

/// What becomes of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    Agrees,
    RefusesUpgrade(u16),
    AnswersBadly,
    Unreachable,
    NeverConnects,
    NeverAnswers,
    Resets,
    EndsStream,
    ClientLeaves,
    ClientResets,
}

/// A pair of which not both connections are open.
pub(super) struct Opening {
    plan: Plan,
    began: Micros,
    connected: Option<Micros>,
    /// When the plan was carried out, if it is more than to wait.
    done: Option<Micros>,
}

impl Plan {
    /// Returns the status that the client gets (0: none), and why its connection and the one to
    /// the service end.
    fn outcome(self) -> (u16, Cause, Cause) {
        match self {
            Plan::Agrees => (101, Cause::INTERNAL, Cause::INTERNAL),
            Plan::RefusesUpgrade(status) => (status, Cause::NOT_UPGRADED, Cause::NOT_UPGRADED),
            Plan::AnswersBadly => (502, Cause::BAD_ANSWER, Cause::BAD_ANSWER),
            Plan::Unreachable => (502, Cause::CONNECT_FAILED, Cause::CONNECT_FAILED),
            Plan::NeverConnects => (502, Cause::CONNECT_TIMEOUT, Cause::CONNECT_TIMEOUT),
            Plan::NeverAnswers => (504, Cause::ANSWER_TIMEOUT, Cause::ANSWER_TIMEOUT),
            Plan::Resets => (502, Cause::BAD_ANSWER, Cause::PEER_RESET),
            Plan::EndsStream => (502, Cause::BAD_ANSWER, Cause::PEER_EOF),
            Plan::ClientLeaves => (0, Cause::ABORTED, Cause::PARTNER_ENDED),
            Plan::ClientResets => (0, Cause::ABORTED, Cause::PARTNER_ENDED),
        }
    }
}

impl Opening {
    /// Returns what becomes of the dial as things are, and when.
    fn expected(&self) -> (Plan, Micros) {
        match (self.plan, self.done, self.connected) {
            (Plan::Unreachable, ..) => (Plan::Unreachable, self.began),
            (plan, Some(at), _) => (plan, at),
            (_, None, None) => (Plan::NeverConnects, self.began + CONNECT_TIMEOUT),
            (_, None, Some(at)) => (Plan::NeverAnswers, at + ANSWER_TIMEOUT),
        }
    }
}

impl World {
    /// A client connects, and the bridge dials the service for it.
    pub(super) fn connect(&mut self) {
        let plan = match self.rng.u8(0..36) {
            0 => Plan::RefusesUpgrade([200, 401, 404, 503][self.rng.usize(0..4)]),
            1 => Plan::AnswersBadly,
            2 => Plan::Unreachable,
            3 => Plan::NeverConnects,
            4 => Plan::NeverAnswers,
            5 => Plan::Resets,
            6 => Plan::EndsStream,
            7 => Plan::ClientLeaves,
            8 => Plan::ClientResets,
            _ => Plan::Agrees,
        };
        let waits = plan == Plan::NeverConnects || self.rng.u8(0..3) == 0;
        self.net.set_on_dial(match plan {
            Plan::Unreachable => OnDial::Fail(ErrorKind::ConnectionRefused),
            _ if waits => OnDial::Wait,
            _ => OnDial::Accept,
        });
        // In a twentieth of the pairs both peers are slow.
        let (slow_client, slow_service) = match self.rng.u8(0..20) {
            0 => (true, true),
            1..=3 => (true, false),
            4..=6 => (false, true),
            _ => (false, false),
        };
        let now = self.net.now();
        let peer = self.net.open_socket();
        self.net.mute(peer);
        self.net.record_frames(peer);
        let mut client = Side::new(peer, true, slow_client, now);
        let mut bytes = upgrade_request("/chat").into_bytes();
        let early = self.early_frames(&client);
        bytes.extend(early.concat());
        for piece in self.pieces(&bytes) {
            self.net.write(peer, &piece);
        }
        self.net.settle();
        let [peer] = self.net.take_dialed()[..] else {
            panic!("a client without a dial");
        };
        self.net.mute(peer);
        self.net.record_frames(peer);
        let mut service = Side::new(peer, false, slow_service, now);
        service.expect_all(early);
        let kind = self.rng.u8(0..4);
        (client.is_quiet, service.is_quiet) = (kind == 0, kind == 1);
        self.pairs.push(Pair {
            sides: [client, service],
            stage: Stage::Opening(Opening {
                plan,
                began: now,
                connected: (!waits).then_some(now),
                done: None,
            }),
            closes_crossed: false,
            kick: None,
            first_end: None,
        });
    }

    /// Returns frames that a peer sends right behind its part of the handshake.
    fn early_frames(&mut self, side: &Side) -> Vec<Vec<u8>> {
        let count = self.rng.usize(0..6).saturating_sub(2);
        let frame = |_| {
            let size = self.rng.usize(0..1_500);
            side.frame(0x82, &self.numbered(size))
        };
        (0..count).map(frame).collect()
    }

    /// The next step of the plan.
    pub(super) fn goes_on_opening(&mut self, pair: usize) {
        let [client, service] = [0, 1].map(|side| self.pairs[pair].sides[side].peer);
        let has_ended = self.net.ending(service).is_some();
        let now = self.net.now();
        let Stage::Opening(opening) = &mut self.pairs[pair].stage else {
            return;
        };
        let plan = opening.plan;
        let waits = matches!(plan, Plan::NeverConnects | Plan::NeverAnswers);
        let leaves = matches!(plan, Plan::ClientLeaves | Plan::ClientResets);
        if has_ended || opening.done.is_some() || plan == Plan::NeverConnects {
            return;
        }
        if opening.connected.is_none() && !leaves {
            opening.connected = Some(now);
            self.net.complete_connect(service);
            return self.net.settle();
        }
        if waits {
            return;
        }
        opening.done = Some(now);
        match plan {
            Plan::Agrees => self.agree(pair),
            Plan::RefusesUpgrade(status) => {
                let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 4\r\n\r\nbody");
                for piece in self.pieces(answer.as_bytes()) {
                    self.net.write(service, &piece);
                }
            }
            Plan::AnswersBadly => {
                let answer = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
                self.net.write(service, answer.as_bytes());
            }
            Plan::Resets => self.net.reset(service),
            Plan::EndsStream => self.net.half_close(service),
            Plan::ClientLeaves => self.net.half_close(client),
            Plan::ClientResets => self.net.reset(client),
            Plan::Unreachable | Plan::NeverConnects | Plan::NeverAnswers => {}
        }
    }

    /// The service agrees to a WebSocket. Unless time was up before, both are open then.
    fn agree(&mut self, pair: usize) {
        let peer = self.pairs[pair].sides[1].peer;
        let request = self.net.request(peer).expect("the request has arrived");
        let mut bytes = upgrade_response(request, "").into_bytes();
        let side = Side::new(peer, false, false, Micros::ZERO);
        let early = self.early_frames(&side);
        bytes.extend(early.concat());
        self.pairs[pair].sides[0].expect_all(early);
        for piece in self.pieces(&bytes) {
            self.net.write(peer, &piece);
        }
        self.net.settle();
        let now = self.net.now();
        for side in &mut self.pairs[pair].sides {
            (side.heard, side.last_sign, side.took_at) = (now, now, now);
            if !self.net.is_open(side.peer) {
                let wrong = format!("{:?} is not open", side.peer);
                self.net.host().wrong.push(wrong);
            }
        }
        self.pairs[pair].stage = Stage::Linked;
    }

    pub(super) fn check_opening(&mut self, pair: usize) -> Result<(), String> {
        let Stage::Opening(opening) = &self.pairs[pair].stage else {
            return Ok(());
        };
        let ((plan, due), now) = (opening.expected(), self.net.now());
        let [client, service] = [0, 1].map(|side| self.pairs[pair].sides[side].peer);
        let ends = [client, service].map(|peer| self.net.ending(peer).map(|end| end.cause));
        if self.is_draining && ends.contains(&Some(Cause::DRAINING)) {
            self.net.half_close(client);
            if ends.iter().all(Option::is_some) {
                self.pairs[pair].stage = Stage::Over;
            }
            return Ok(());
        }
        match ends {
            _ if ends != [None, None] && now < due => {
                return Err(format!("{plan:?} is due at {due}: {ends:?}"));
            }
            [None, None] if now <= due + TICK => return Ok(()),
            [None, Some(_)] if self.net.fin_received(client) => {
                // It has got an answer, and leaves.
                self.net.half_close(client);
                return Ok(());
            }
            [Some(_), Some(_)] => {}
            _ => return Err(format!("{plan:?} was due at {due}: {ends:?}")),
        }
        let (status, client_end, service_end) = plan.outcome();
        if ends != [Some(client_end), Some(service_end)] {
            return Err(format!("{plan:?}: {ends:?}"));
        }
        let got = self.net.response(client).unwrap_or_default();
        let expected = format!("HTTP/1.1 {status} ");
        if status != 0 && !got.starts_with(&expected) || status == 0 && !got.is_empty() {
            return Err(format!("{plan:?}: the client got {got:?}"));
        }
        self.pairs[pair].stage = Stage::Over;
        Ok(())
    }
}
