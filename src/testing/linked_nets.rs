//! Two networks, of which one dials the other.

use super::net::Net;
use super::peer::{OnDial, PeerId};
use crate::engine::Handler;

/// A connection from one network to the other.
struct Pipe {
    /// The server, as the dialling network sees it.
    dialed: PeerId,
    /// The client, as the other network sees it.
    accepted: PeerId,
    /// How many more bytes pass in each direction before the connection is cut: from the dialling
    /// side, and to it.
    budget: Option<(usize, usize)>,
    /// Whether bytes vanish without a sign.
    is_silent: bool,
    is_dead: bool,
    /// Whether the end of the stream was passed on, from the dialling side and to it.
    ended: (bool, bool),
}

/// Two hosts on virtual time, each with an engine of its own: what the first one dials, the second
/// one accepts. A test of a client and its server cuts their connections at any byte.
pub struct LinkedNets<A, B> {
    /// The network that dials.
    pub dialer: Net<A>,
    /// The network that accepts.
    pub server: Net<B>,
    pipes: Vec<Pipe>,
    latency_ms: u64,
}

impl<A: Handler, B: Handler> LinkedNets<A, B> {
    /// Links two networks whose times are equal.
    pub fn new(mut dialer: Net<A>, server: Net<B>) -> Self {
        dialer.set_on_dial(OnDial::Accept);
        LinkedNets {
            dialer,
            server,
            pipes: Vec::new(),
            latency_ms: 0,
        }
    }

    /// Sets how long bytes take in each direction, for connections that are made from now on.
    pub fn set_latency(&mut self, ms: u64) {
        self.latency_ms = ms;
    }

    /// Lets time pass on both networks, in steps of whole milliseconds.
    pub fn advance(&mut self, ms: u64) {
        self.exchange();
        let mut left = ms;
        while left > 0 {
            let quiet = quiet_ms(&self.dialer).min(quiet_ms(&self.server));
            let step = quiet.clamp(1, left);
            self.dialer.advance(step);
            self.server.advance(step);
            self.exchange();
            left -= step;
        }
    }

    /// Returns how many connections are not cut, closed or silent.
    pub fn live(&self) -> usize {
        let is_live = |pipe: &&Pipe| !pipe.is_dead && !pipe.is_silent;
        self.pipes.iter().filter(is_live).count()
    }

    /// Cuts every connection, once so many more bytes have left either side: `up` from the dialling
    /// side, or `down` from the other one. Both sides see a reset, and what is in transit is lost.
    pub fn cut_after(&mut self, up: usize, down: usize) {
        for pipe in self.pipes.iter_mut().filter(|pipe| !pipe.is_dead) {
            pipe.budget = Some((up, down));
        }
        self.exchange();
    }

    /// Makes every connection a black hole: from now on bytes vanish, and neither side sees an end.
    pub fn silence(&mut self) {
        for pipe in &mut self.pipes {
            pipe.is_silent = true;
        }
    }

    /// Passes bytes on until nothing moves any more at this time.
    ///
    /// # Panics
    /// If that is never reached.
    fn exchange(&mut self) {
        for _ in 0..10_000 {
            self.dialer.settle();
            self.server.settle();
            self.accept();
            let mut has_moved = false;
            for pipe in &mut self.pipes {
                has_moved |= pipe.pass(&mut self.dialer, &mut self.server);
            }
            if !has_moved {
                self.pipes.retain(|pipe| !pipe.is_dead);
                return;
            }
        }
        panic!("the networks find no rest");
    }

    fn accept(&mut self) {
        let is_accepting = self.dialer.on_dial == OnDial::Accept;
        for dialed in self.dialer.take_dialed() {
            if !is_accepting {
                continue;
            }
            let accepted = self.server.open_socket();
            let peer = &mut self.dialer.peers[dialed.0];
            peer.is_pipe = true;
            // The request was sent in the turn of the dial.
            if let Some(head) = peer.head.take() {
                peer.bytes.splice(..0, head.into_bytes());
            }
            self.server.peers[accepted.0].is_pipe = true;
            self.dialer.set_latency(dialed, self.latency_ms);
            self.server.set_latency(accepted, self.latency_ms);
            self.pipes.push(Pipe {
                dialed,
                accepted,
                budget: None,
                is_silent: false,
                is_dead: false,
                ended: (false, false),
            });
        }
    }
}

impl Pipe {
    /// Passes on what waits. Returns whether something did.
    fn pass<A: Handler, B: Handler>(&mut self, dialer: &mut Net<A>, server: &mut Net<B>) -> bool {
        if self.is_dead {
            return false;
        }
        let mut up = std::mem::take(&mut dialer.peers[self.dialed.0].bytes);
        let mut down = std::mem::take(&mut server.peers[self.accepted.0].bytes);
        if self.is_silent {
            return false;
        }
        let mut is_cut = false;
        if let Some((most_up, most_down)) = &mut self.budget {
            up.truncate(*most_up);
            down.truncate(*most_down);
            *most_up -= up.len();
            *most_down -= down.len();
            is_cut = *most_up == 0 || *most_down == 0;
        }
        let mut has_moved = !up.is_empty() || !down.is_empty();
        if !up.is_empty() {
            server.write(self.accepted, &up);
        }
        if !down.is_empty() {
            dialer.write(self.dialed, &down);
        }
        if is_cut {
            // What has arrived is handled before the reset is seen.
            dialer.settle();
            server.settle();
            dialer.reset(self.dialed);
            server.reset(self.accepted);
            self.is_dead = true;
            return true;
        }
        has_moved |= pass_end(
            dialer,
            self.dialed,
            server,
            self.accepted,
            &mut self.ended.0,
        );
        has_moved |= pass_end(
            server,
            self.accepted,
            dialer,
            self.dialed,
            &mut self.ended.1,
        );
        self.is_dead =
            dialer.released(self.dialed).is_some() && server.released(self.accepted).is_some();
        has_moved
    }
}

/// Returns how many whole milliseconds pass on a network before anything happens.
fn quiet_ms<H: Handler>(net: &Net<H>) -> u64 {
    let now = net.now();
    let arrivals = net.peers.iter().filter_map(|peer| peer.inbound.front());
    let arrival = arrivals.map(|(at, _)| *at - now).min();
    let quiet = [arrival, net.engine.sleep_time(now)].into_iter().flatten();
    quiet.min().map_or(u64::MAX, |quiet| quiet.as_millis())
}

/// Passes the end of a stream on. Returns whether there was one.
fn pass_end<A: Handler, B: Handler>(
    from: &Net<A>,
    end: PeerId,
    to: &mut Net<B>,
    other: PeerId,
    has_ended: &mut bool,
) -> bool {
    if *has_ended || !from.fin_received(end) {
        return false;
    }
    *has_ended = true;
    match from.released(end) {
        Some(true) => to.reset(other),
        _ => to.half_close(other),
    }
    true
}
