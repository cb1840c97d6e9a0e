//! What peers and the network do.

use super::host::FAREWELL;
use super::late::LateShadow;
use super::messages::{answer_to, tagged};
use super::world::{MAX_MESSAGE, Shadow, World};
use pulsegate::testing::{client_frame, upgrade_request};
use pulsegate::time::Micros;
use std::collections::VecDeque;

impl World {
    pub(super) fn window_changes(&mut self, index: usize) {
        let window = self.rng.bool().then(|| self.rng.usize(0..5_000));
        self.shadow(index).window(window);
    }

    pub(super) fn latency_grows(&mut self, index: usize) {
        let ms = self.rng.u64(0..200);
        let (shadow, net) = (&mut self.shadows[index], &mut self.net);
        // Bytes must not overtake each other.
        if ms >= shadow.latency {
            shadow.latency = ms;
            net.set_latency(shadow.peer, ms);
        }
    }

    pub(super) fn input_lies_unread(&mut self, index: usize) {
        let unread = self.rng.bool();
        let (shadow, net) = (&mut self.shadows[index], &mut self.net);
        shadow.ever_unread = true;
        net.set_unread(shadow.peer, unread);
    }

    pub(super) fn peer_half_closes(&mut self, index: usize) {
        self.net.half_close(self.shadows[index].peer);
        self.shadows[index].gone = true;
    }

    /// Resets the connection: now, or after some more bytes of output.
    pub(super) fn connection_breaks(&mut self, index: usize) {
        if self.rng.bool() {
            let after = self.rng.usize(0..200_000);
            let shadow = &mut self.shadows[index];
            shadow.ever_windowed = true;
            self.net.reset_after(shadow.peer, after);
        } else {
            self.net.reset(self.shadows[index].peer);
            self.shadows[index].gone = true;
        }
    }

    pub(super) fn peer_closes(&mut self, index: usize) {
        let code = [1000, 1001, 1005, 999, 3000, 4999][self.rng.usize(0..6)];
        let payload = if code == 1005 {
            vec![]
        } else {
            u16::to_be_bytes(code).to_vec()
        };
        let shadow = &mut self.shadows[index];
        if shadow.rest.is_none() {
            self.net.write(shadow.peer, &client_frame(0x88, &payload));
            shadow.gone = true;
        }
    }

    pub(super) fn connect(&mut self) {
        let number = self.shadows.len();
        let class = self.rng.usize(0..3);
        let path = match self.rng.u8(0..10) {
            0 => format!("/defer/{number}"),
            1 => "/nowhere".to_owned(),
            _ => format!("/{class}/{number}"),
        };
        let mut request = upgrade_request(&path);
        if self.rng.u8(0..12) == 0 {
            request = request.replace("Version: 13", "Version: 12");
        }
        let peer = self.net.open_socket();
        let upto = if self.rng.u8(0..6) == 0 {
            self.rng.usize(0..request.len())
        } else {
            request.len()
        };
        self.net.write(peer, &request.as_bytes()[..upto]);
        if self.rng.bool() {
            self.net.settle();
            self.net.write(peer, &request.as_bytes()[upto..]);
        }
        self.net.answer_texts(peer, answer_to);
        let deferred = path.starts_with("/defer");
        self.shadows.push(Shadow {
            peer,
            class: if deferred { 0 } else { class },
            arrivals: Vec::new(),
            controls: Vec::new(),
            host_rest: None,
            receiving: None,
            sent: 0,
            rest: None,
            accepted: VecDeque::new(),
            host_sent: 0,
            pongs: VecDeque::new(),
            pings: 0,
            last_ping: None,
            watched_since: None,
            spared: Micros::ZERO,
            excused: Micros::ZERO,
            ever_windowed: false,
            ever_unread: false,
            paused: false,
            latency: 0,
            muted: false,
            gone: false,
            misbehaved: false,
            closed_by_host: false,
            late: LateShadow::default(),
        });
    }

    pub(super) fn size(&mut self) -> usize {
        let around = [8, 125, 126, 4_096, 65_535, 65_536, MAX_MESSAGE][self.rng.usize(0..7)];
        let size = around + self.rng.usize(0..3);
        size.saturating_sub(1).clamp(8, MAX_MESSAGE)
    }

    /// Returns whether the peer can send frames: it is open, and not in the middle of one.
    pub(super) fn speaks(&self, index: usize) -> bool {
        let shadow = &self.shadows[index];
        shadow.rest.is_none() && self.net.is_open(shadow.peer)
    }

    pub(super) fn peer_sends(&mut self, index: usize) {
        if let Some(rest) = self.shadows[index].rest.take() {
            self.shadow(index).write_whole(&rest);
            return self.net.set_in_frame(self.shadows[index].peer, false);
        }
        if self.speaks(index) {
            let data = tagged(index as u32, self.shadows[index].sent, self.size());
            self.shadows[index].sent += 1;
            self.shadow(index).write_whole(&client_frame(0x82, &data));
        }
    }

    /// Sends several messages in one segment; the first may be the last that counts.
    pub(super) fn peer_sends_at_once(&mut self, index: usize) {
        if !self.speaks(index) {
            return;
        }
        let farewell = self.rng.u8(0..4) == 0;
        let mut frames = Vec::new();
        for nth in 0..3 {
            let size = if farewell && nth == 0 { FAREWELL } else { 100 };
            let data = tagged(index as u32, self.shadows[index].sent, size);
            self.shadows[index].sent += 1;
            frames.extend(client_frame(0x82, &data));
        }
        self.shadows[index].closed_by_host |= farewell;
        self.shadow(index).write_whole(&frames);
    }

    /// Some peers send far more small frames than fit into one turn.
    pub(super) fn peers_flood(&mut self, alive: &[usize]) {
        for index in alive.iter().copied().take(6) {
            if !self.speaks(index) {
                continue;
            }
            let mut frames = Vec::new();
            for _ in 0..self.rng.usize(100..900) {
                let data = tagged(index as u32, self.shadows[index].sent, 8);
                self.shadows[index].sent += 1;
                frames.extend(client_frame(0x82, &data));
            }
            self.shadow(index).write_whole(&frames);
        }
    }

    pub(super) fn peer_sends_fragments(&mut self, index: usize) {
        if !self.speaks(index) {
            return;
        }
        let data = tagged(index as u32, self.shadows[index].sent, self.size());
        self.shadows[index].sent += 1;
        let cut = self.rng.usize(0..data.len());
        // A text that answers a heartbeat must not stand between the fragments.
        self.net.set_in_frame(self.shadows[index].peer, true);
        self.shadow(index)
            .write_whole(&client_frame(0x02, &data[..cut]));
        if self.rng.bool() {
            self.peer_pings(index);
        }
        self.net.settle();
        self.shadow(index)
            .write_whole(&client_frame(0x80, &data[cut..]));
        self.net.set_in_frame(self.shadows[index].peer, false);
    }

    pub(super) fn peer_sends_part(&mut self, index: usize) {
        if self.speaks(index) {
            let data = tagged(index as u32, self.shadows[index].sent, self.size());
            self.shadows[index].sent += 1;
            let mut frame = client_frame(0x82, &data);
            // Less than what counts as progress, so that the shadow knows what is heard.
            let rest = frame.split_off(self.rng.usize(1..frame.len().min(4_000)));
            let shadow = &mut self.shadows[index];
            self.net.write(shadow.peer, &frame);
            self.net.set_in_frame(shadow.peer, true);
            shadow.rest = Some(rest);
        } else if self.shadows[index]
            .rest
            .as_ref()
            .is_some_and(|r| r.len() > 1)
        {
            // Bytes that trickle in, but nothing that counts as heard.
            let shadow = &mut self.shadows[index];
            if let Some(rest) = &mut shadow.rest {
                let byte = rest.remove(0);
                self.net.write(shadow.peer, &[byte]);
            }
        }
    }

    pub(super) fn peer_pings(&mut self, index: usize) {
        if self.speaks(index) {
            let shadow = &mut self.shadows[index];
            shadow.pings += 1;
            let payload = [(index as u32).to_be_bytes(), shadow.pings.to_be_bytes()].concat();
            shadow.pongs.push_back(payload.clone());
            self.shadow(index)
                .write_control(&client_frame(0x89, &payload));
        }
    }

    pub(super) fn peer_misbehaves(&mut self, index: usize) {
        if !self.speaks(index) {
            return;
        }
        let bad: &[u8] = match self.rng.u8(0..5) {
            0 => &[0x83, 0x80, 0, 0, 0, 0],             // reserved opcode
            1 => &[0x81, 0x01, b'x'],                   // not masked
            2 => &[0xC1, 0x81, 0, 0, 0, 0, b'x'],       // reserved bit
            3 => &[0x81, 0x81, 0, 0, 0, 0, 0xFF],       // not UTF-8
            _ => &[0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0], // 4 GiB
        };
        let shadow = &mut self.shadows[index];
        self.net.write(shadow.peer, bad);
        shadow.misbehaved = true;
        shadow.gone = true;
    }
}
