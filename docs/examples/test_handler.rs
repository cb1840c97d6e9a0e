//! How a host tests its handler: on virtual time, without a socket, with the feature `testing`.
//!
//! The handler is a small presence room. Each guest is told which guests come, go or do not answer,
//! and what is said. A room in which nothing is said for ten minutes is closed. Ten minutes pass in
//! no time.
//!
//! ```sh
//! cargo run --example test_handler --features testing     # goes through the scripts and prints each step
//! cargo test --example test_handler --features testing    # the same scripts as tests
//! ```

use pulsegate::testing::{Net, PeerId, Received};
use pulsegate::{
    Cause, Class, Config, ConnId, ConnMap, Ending, Handler, HealthChange, HealthState, Io, Message,
    Micros, Request, TimerId, Verdict,
};
use std::collections::HashMap;

// ---- the handler, as it runs in production ----

/// A room in which nothing is said for this long is closed.
const IDLE: Micros = Micros::from_secs(600);

/// What its guests are told then; 4000 to 4999 are for private use (RFC 6455 §7.4.2).
const ROOM_CLOSED: u16 = 4_001;

/// Rooms, by path: `/room/garden?name=ada`.
#[derive(Default)]
struct Presence {
    guests: ConnMap<Guest>,
    rooms: HashMap<String, Room>,
    /// Whose room each timer closes.
    timers: HashMap<TimerId, String>,
}

struct Guest {
    name: String,
    room: String,
}

struct Room {
    members: Vec<ConnId>,
    timer: TimerId,
}

impl Presence {
    fn tell_others(&self, io: &mut Io<'_>, from: ConnId, room: &str, text: String) {
        let Some(room) = self.rooms.get(room) else {
            return;
        };
        let others = room.members.iter().copied().filter(|id| *id != from);
        io.send_many(others, &Message::text(text));
    }

    /// The room's time begins anew. Its timer, if there is one, is stopped.
    fn restart(&mut self, io: &mut Io<'_>, name: &str) {
        if let Some(room) = self.rooms.get_mut(name) {
            io.cancel_timer(room.timer);
            self.timers.remove(&room.timer);
            room.timer = io.start_timer(IDLE);
            self.timers.insert(room.timer, name.to_owned());
        }
    }
}

impl Handler for Presence {
    fn on_request(&mut self, _io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let room = request.path().strip_prefix("/room/");
        let name = request.query().and_then(|q| q.strip_prefix("name="));
        let (Some(room), Some(name)) = (room, name) else {
            return Verdict::refuse(Cause::BAD_REQUEST, 404, "no such room");
        };
        let guest = Guest {
            name: name.to_owned(),
            room: room.to_owned(),
        };
        // Upgrade promises one on_close, even if the request turns out to be no valid upgrade: that
        // is where it ends.
        self.guests.insert(id, guest);
        Verdict::upgrade(Class(0))
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        let Some(Guest { name, room }) = self.guests.get(id) else {
            return;
        };
        let (name, room) = (name.clone(), room.clone());
        let timers = &mut self.timers;
        let here = self.rooms.entry(room.clone()).or_insert_with(|| {
            let timer = io.start_timer(IDLE);
            timers.insert(timer, room.clone());
            Room {
                members: Vec::new(),
                timer,
            }
        });
        here.members.push(id);
        self.tell_others(io, id, &room, format!("+{name}"));
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        let (Some(guest), Ok(text)) = (self.guests.get(id), message.to_text()) else {
            return;
        };
        let room = guest.room.clone();
        self.tell_others(io, id, &room, format!("{}: {text}", guest.name));
        self.restart(io, &room);
    }

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        if let Some(guest) = self.guests.get(id) {
            let text = match change.state {
                HealthState::Suspect => format!("{} does not answer", guest.name),
                HealthState::Healthy => format!("{} is back", guest.name),
            };
            self.tell_others(io, id, &guest.room, text);
        }
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        let name = self.timers.remove(&timer);
        // The room goes at once; its guests stay in `guests` until on_close.
        if let Some(room) = name.and_then(|name| self.rooms.remove(&name)) {
            for id in room.members {
                io.close(id, ROOM_CLOSED, "nothing was said for ten minutes");
            }
        }
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, _end: &Ending) {
        let Some(guest) = self.guests.remove(id) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(&guest.room) else {
            return;
        };
        let Some(place) = room.members.iter().position(|member| *member == id) else {
            return; // it never opened
        };
        room.members.swap_remove(place);
        if room.members.is_empty() {
            io.cancel_timer(room.timer);
            self.timers.remove(&room.timer);
            self.rooms.remove(&guest.room);
        } else {
            self.tell_others(io, id, &guest.room, format!("-{}", guest.name));
        }
    }
}

// ---- the scripts ----

/// A network with the handler, which says what it does.
struct Script {
    net: Net<Presence>,
}

impl Script {
    /// Pings every 15 s, silence of 45 s is stale: the defaults, written down because the scripts
    /// count on them.
    fn new(title: &str) -> Self {
        println!("{title}");
        let mut config = Config::default();
        config.classes[0].policy.heartbeat_interval = Micros::from_secs(15);
        config.classes[0].policy.connection_timeout = Micros::from_secs(45);
        Script {
            net: Net::new(config, Presence::default()),
        }
    }

    fn step(&self, what: &str) {
        println!("  {:>7} s  {what}", self.net.now().as_millis() / 1_000);
    }

    fn join(&mut self, room: &str, name: &str) -> PeerId {
        let peer = self.net.connect(&format!("/room/{room}?name={name}"));
        assert!(self.net.is_open(peer));
        self.step(&format!("{name} joins {room}"));
        peer
    }

    fn say(&mut self, peer: PeerId, text: &str) {
        self.step(&format!("a guest says \"{text}\""));
        self.net.send(peer, Message::text(text.to_owned()));
        self.net.settle();
    }

    fn pass(&mut self, seconds: u64) {
        self.net.advance(seconds * 1_000);
        self.step(&format!("{seconds} s have passed"));
    }

    /// The peer has received these texts since the last call, besides pings.
    #[track_caller]
    fn expect(&mut self, peer: PeerId, expected: &[&str]) {
        let received = self.net.received(peer);
        let texts: Vec<&str> = received.iter().filter_map(text_of).collect();
        assert_eq!(texts, expected);
        self.step(&format!("received: {texts:?}"));
    }

    #[track_caller]
    fn expect_rooms(&mut self, rooms: usize) {
        let host = self.net.host();
        assert_eq!((host.rooms.len(), host.timers.len()), (rooms, rooms));
        self.step(&format!("{rooms} rooms"));
    }
}

fn text_of(received: &Received) -> Option<&str> {
    match received {
        Received::Message(message) => message.to_text().ok(),
        Received::Fragment(..) | Received::Ping(_) | Received::Pong(_) | Received::Close(..) => {
            None
        }
    }
}

#[cfg_attr(test, test)]
fn arrivals_and_departures_are_told() {
    let mut s = Script::new("arrivals and departures are told");
    let ada = s.join("garden", "ada");
    let bob = s.join("garden", "bob");
    let eve = s.join("cellar", "eve");
    s.expect(ada, &["+bob"]);
    s.say(bob, "hello");
    s.expect(ada, &["bob: hello"]);
    s.net.half_close(bob);
    s.net.settle();
    s.expect(ada, &["-bob"]);
    s.net.expect_closed(bob, Cause::PEER_EOF);
    s.expect(bob, &[]);
    s.expect(eve, &[]);
}

#[cfg_attr(test, test)]
fn a_ghost_is_seen_before_it_is_gone() {
    let mut s = Script::new("a ghost is seen before it is gone");
    let ada = s.join("garden", "ada");
    let bob = s.join("garden", "bob");
    s.pass(300);
    s.expect(ada, &["+bob"]);
    s.net.mute(bob);
    s.step("bob answers no more, but his socket stays open");
    s.pass(32); // at most 15 s to the next ping, which then has 15 s to be answered; and two ticks
    s.expect(ada, &["bob does not answer"]);
    assert!(s.net.is_open(bob));
    s.pass(15);
    s.expect(ada, &["-bob"]);
    s.net.expect_closed(bob, Cause::STALE);
    assert!(s.net.is_open(ada));
}

#[cfg_attr(test, test)]
fn a_guest_that_was_only_slow_comes_back() {
    let mut s = Script::new("a guest that was only slow comes back");
    let ada = s.join("garden", "ada");
    let bob = s.join("garden", "bob");
    s.net.set_latency(bob, 20_000);
    s.step("bob's bytes are 20 s on the way");
    s.pass(60);
    let received = s.net.received(ada);
    let texts: Vec<&str> = received.iter().filter_map(text_of).collect();
    assert!(texts.starts_with(&["+bob", "bob does not answer", "bob is back"]));
    s.step(&format!("ada received: {texts:?}"));
    assert!(s.net.is_open(bob), "late is not dead");
}

#[cfg_attr(test, test)]
fn a_room_in_which_nothing_is_said_is_closed() {
    let mut s = Script::new("a room in which nothing is said is closed");
    let ada = s.join("garden", "ada");
    s.pass(590);
    s.say(ada, "is anyone here?");
    s.pass(590);
    assert!(s.net.is_open(ada), "its time began anew");
    s.expect_rooms(1);
    s.pass(11);
    s.net.expect_closed(ada, Cause::KICKED);
    let told = s.net.received(ada).pop();
    let reason = "nothing was said for ten minutes".to_owned();
    assert_eq!(told, Some(Received::Close(ROOM_CLOSED, reason)));
    s.step("ada was told why");
    s.expect_rooms(0);
}

#[cfg_attr(test, test)]
fn a_refused_guest_leaves_nothing_behind() {
    let mut s = Script::new("a refused guest leaves nothing behind");
    let lost = s.net.connect("/attic");
    let response = s.net.response(lost).unwrap_or_default();
    assert!(response.starts_with("HTTP/1.1 404 "));
    s.step("there is no attic");
    let plain = s.net.open_socket();
    let request = "GET /room/garden?name=ada HTTP/1.1\r\nHost: test\r\n\r\n";
    s.net.write(plain, request.as_bytes());
    s.net.settle();
    let response = s.net.response(plain).unwrap_or_default();
    assert!(response.starts_with("HTTP/1.1 426 "));
    s.step("a browser without a WebSocket is told so");
    s.pass(3);
    s.net.expect_closed(plain, Cause::BAD_REQUEST);
    assert!(s.net.host().guests.is_empty());
    s.expect_rooms(0);
}

#[cfg_attr(test, test)]
fn our_own_absence_is_not_held_against_the_guests() {
    let mut s = Script::new("our own absence is not held against the guests");
    let ada = s.join("garden", "ada");
    s.net.stall(3_600_000);
    s.step("the process was stopped for an hour, of which it knows nothing");
    s.pass(120);
    assert!(s.net.is_open(ada));
    s.expect_rooms(1);
}

fn main() {
    arrivals_and_departures_are_told();
    a_ghost_is_seen_before_it_is_gone();
    a_guest_that_was_only_slow_comes_back();
    a_room_in_which_nothing_is_said_is_closed();
    a_refused_guest_leaves_nothing_behind();
    our_own_absence_is_not_held_against_the_guests();
    println!("all as expected");
}
