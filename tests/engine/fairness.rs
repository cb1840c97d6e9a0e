//! Work of one peer must not delay the heartbeats of others: the work that one peer can cause in a
//! turn, and how the rest is done later. Runs on virtual time, turn by turn; work is counted in
//! units, never in time.

use pulsegate::cause::{Cause, EndCode};
use pulsegate::engine::{
    ClassConfig, Config, Handler, Io, Message, Request, SHARE_UNITS, SendOutcome, TURN_UNITS,
    Verdict,
};
use pulsegate::health::Policy;
use pulsegate::testing::{Net, PeerId, Received, client_frame, upgrade_request};
use pulsegate::{Class, ConnId, Micros};

/// The cost of a frame without further work: its own unit.
const FRAME: u32 = 1;

/// Counts messages. `/fan` sends each to all of `/sink`, `/dear` spends 1 000 units on each,
/// `/pause` stops reading from its sender at each. Messages of `/sink` are only counted.
#[derive(Default)]
struct Host {
    sinks: Vec<ConnId>,
    fans: Vec<ConnId>,
    dear: Vec<ConnId>,
    pausing: Vec<ConnId>,
    heard: Vec<(ConnId, Vec<u8>)>,
    throttled: Vec<(ConnId, Micros)>,
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

fn net(config: Config) -> Net<Host> {
    Net::new(config, Host::default())
}

fn numbered(count: usize) -> Vec<u8> {
    let frame = |i: usize| client_frame(0x82, &(i as u32).to_be_bytes());
    (0..count).flat_map(frame).collect()
}

/// Runs one turn; returns the units that it cost.
fn turn(net: &mut Net<Host>) -> u64 {
    let before = net.engine().stats().work_units;
    net.run_turn();
    net.check().unwrap_or_else(|e| panic!("{e}"));
    net.engine().stats().work_units - before
}

fn pongs(net: &mut Net<Host>, peer: PeerId) -> usize {
    let received = net.received(peer);
    let is_pong = |r: &&Received| matches!(r, Received::Pong(_));
    received.iter().filter(is_pong).count()
}

// ---- shares ----

#[test]
fn a_flood_of_small_frames_is_worked_off_share_by_share() {
    let mut net = net(Config::default());
    let (heavy, light) = (net.connect("/"), net.connect("/"));
    net.write(heavy, &numbered(15_000));
    let mut turns = 0;
    while net.host().heard.len() < 15_000 {
        net.write(light, &client_frame(0x89, b"there?"));
        // Its share, the bytes that were read, and the ping.
        let units = turn(&mut net);
        assert!(units <= u64::from(SHARE_UNITS) + 24, "{units} units");
        assert_eq!(pongs(&mut net, light), 1, "answered in the same turn");
        turns += 1;
        assert!(turns < 200, "{} heard", net.host().heard.len());
    }
    assert!(turns >= 15_000 / SHARE_UNITS as usize, "{turns} turns");
    let heard = std::mem::take(&mut net.host().heard);
    let in_order = (0..15_000u32).map(|i| i.to_be_bytes().to_vec());
    assert!(heard.into_iter().map(|(_, data)| data).eq(in_order));
    let class = net.engine().stats().classes[0].clone();
    assert_eq!(class.throttled, 0, "it is within its share again");
}

#[test]
fn deliveries_count_for_the_peer_that_causes_them() {
    let mut net = net(Config::default());
    for _ in 0..200 {
        net.connect("/sink");
    }
    let (heavy, light) = (net.connect("/fan"), net.connect("/"));
    net.write(heavy, &numbered(40));
    let mut turns = 0;
    while net.host().heard.len() < 40 {
        net.write(light, &client_frame(0x89, b"there?"));
        let units = turn(&mut net);
        assert!(units <= 201 + 24, "one frame to 200 peers, {units} units");
        assert_eq!(pongs(&mut net, light), 1);
        turns += 1;
        assert!(turns < 100);
    }
    assert!(turns >= 40, "{turns} turns");
}

#[test]
fn a_dear_frame_is_paid_for_in_the_next_turns() {
    let mut net = net(Config::default());
    let (dear, light) = (net.connect("/dear"), net.connect("/"));
    net.write(dear, &numbered(3));
    net.write(light, &numbered(1));
    let mut spent = Vec::new();
    while spent.len() < 18 {
        spent.push(turn(&mut net) >= 1_000);
    }
    // 1 000 units are five shares: one is used now, four are owed.
    let at: Vec<usize> = (0..18).filter(|i| spent[*i]).collect();
    assert_eq!(at, [0, 5, 10], "{spent:?}");
    assert_eq!(net.host().heard.len(), 4);
}

#[test]
fn all_peers_together_cost_no_more_than_a_turn_has() {
    let mut net = net(Config::default());
    let heavy: Vec<PeerId> = (0..30).map(|_| net.connect("/")).collect();
    for peer in &heavy {
        net.write(*peer, &numbered(2_000));
    }
    let mut least = vec![0; heavy.len()];
    for _ in 0..20 {
        turn(&mut net);
        for (peer, heard) in heavy.iter().zip(&mut least) {
            let id = net.id(*peer);
            *heard = net.host().heard.iter().filter(|(of, _)| *of == id).count();
        }
    }
    let stats = net.engine().stats();
    assert!(stats.turn_units_max <= TURN_UNITS, "{stats:?}");
    assert!(stats.frame_units_max <= FRAME + 1, "{stats:?}");
    // Each had its turns: none is more than two shares behind another.
    let (fewest, most) = (least.iter().min(), least.iter().max());
    let apart = most.expect("peers") - fewest.expect("peers");
    assert!(apart <= 2 * SHARE_UNITS as usize, "{least:?}");
}

#[test]
fn frames_behind_the_upgrade_have_a_share_too() {
    let mut net = net(Config::default());
    let peer = net.open_socket();
    let all = [upgrade_request("/").into_bytes(), numbered(1_000)].concat();
    net.write(peer, &all);
    turn(&mut net);
    let heard = net.host().heard.len();
    assert!((100..=SHARE_UNITS as usize).contains(&heard), "{heard}");
    net.settle();
    assert_eq!(net.host().heard.len(), 1_000);
}

#[test]
fn the_end_of_a_stream_is_told_behind_what_waits() {
    for reset in [false, true] {
        let mut net = net(Config::default());
        let peer = net.connect("/");
        net.write(peer, &numbered(900));
        net.run_turn();
        assert!(net.host().heard.len() < 900);
        if reset {
            net.reset(peer);
        } else {
            net.half_close(peer);
        }
        net.settle();
        assert_eq!(net.host().heard.len(), 900);
        let cause = if reset {
            Cause::PEER_RESET
        } else {
            Cause::PEER_EOF
        };
        net.expect_closed(peer, cause);
    }
}

#[test]
fn a_failed_write_is_told_behind_what_waits() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    net.write(peer, &numbered(900));
    net.run_turn();
    net.reset_after(peer, 0);
    let id = net.id(peer);
    net.with_io(|_, io| io.send(id, Message::text("it is gone")));
    net.settle();
    assert_eq!(net.host().heard.len(), 900);
    net.expect_closed(peer, Cause::PEER_RESET);
    assert_eq!(net.engine().stats().pending_bytes, 0);
}

#[test]
fn a_peer_that_waits_for_its_share_is_not_taken_for_dead() {
    let mut net = net(Config::default());
    let peer = net.connect("/dear");
    // 1 000 units a frame, a turn every two seconds: each frame takes ten seconds, the timeout is
    // 45 s.
    net.write(peer, &numbered(20));
    net.mute(peer);
    for _ in 0..98 {
        net.run_turn_after(2_000);
        net.check().unwrap_or_else(|e| panic!("{e}"));
        assert!(net.is_open(peer));
        let view = net.with_io(|_, io| io.stats().suspects());
        assert_eq!(view, 0);
    }
    assert_eq!(net.host().heard.len(), 20);
    let pings = net.received(peer).len();
    assert!(pings <= 1, "{pings} pings to a peer that we do not read");
    let told = std::mem::take(&mut net.host().throttled);
    let class = net.engine().stats().classes[0].clone();
    let sum: u64 = told.iter().map(|(_, waited)| waited.0).sum();
    assert_eq!(class.throttled_time, Micros(sum), "all waits are told");
    assert!(class.throttled_time >= Micros::from_secs(150), "{class:?}");
    net.advance(60_000);
    net.expect_closed(peer, Cause::STALE);
}

#[test]
fn large_frames_are_gathered_in_steps() {
    let config = Config {
        max_message_bytes: 4 << 20,
        max_pending_bytes: 16 << 20,
        ..Config::default()
    };
    let mut net = net(config);
    let peer = net.connect("/");
    let payload = vec![7; 4 << 20];
    net.write(peer, &client_frame(0x82, &payload));
    let mut turns = 0;
    while net.host().heard.is_empty() {
        let units = turn(&mut net);
        // A complete message is joined: 128 KiB, or 32 units, at a time.
        assert!(units <= u64::from(SHARE_UNITS + 32), "{units}");
        turns += 1;
    }
    assert!(
        (10..30).contains(&turns),
        "1 024 units of 4 KiB to gather, and as many to join: {turns}"
    );
    assert!(net.host().heard[0].1 == payload);
}

/// A host that does a tenth of a share at a time for each message, and 30 such steps for a message
/// of more than 100 bytes.
#[derive(Default)]
struct Slow {
    left: usize,
    steps: usize,
    heard: Vec<usize>,
}

impl Slow {
    fn step(&mut self, io: &mut Io<'_>, id: ConnId) {
        io.spend(SHARE_UNITS / 10);
        self.steps += 1;
        self.left -= 1;
        if self.left > 0 {
            io.set_unfinished(id, 0);
        }
    }
}

impl Handler for Slow {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        assert_eq!(self.left, 0, "the last message is not finished");
        self.heard.push(message.len());
        self.left = if message.len() > 100 { 30 } else { 1 };
        self.step(io, id);
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.step(io, id);
    }
}

/// Work that a host leaves for later is done in shares of the connection. Later input of the
/// connection, including its end, waits.
#[test]
fn a_host_works_on_a_message_in_shares() {
    let mut net = Net::new(Config::default(), Slow::default());
    let peer = net.connect("/");
    let other = net.connect("/");
    net.write(peer, &client_frame(0x82, &[7; 101]));
    net.write(peer, &client_frame(0x82, &[7; 3]));
    net.write(peer, &client_frame(0x88, &1000u16.to_be_bytes()));
    net.half_close(peer);
    let mut turns = 0;
    while net.ending(peer).is_none() {
        let before = net.engine().stats().work_units;
        net.run_turn();
        let units = net.engine().stats().work_units - before;
        assert!(units <= u64::from(SHARE_UNITS + 50), "{units}");
        net.check().unwrap_or_else(|e| panic!("{e}"));
        turns += 1;
        assert!(turns < 20);
    }
    assert!(turns >= 3, "600 units in shares of 200: {turns}");
    assert_eq!(net.host().heard, [101, 3]);
    assert_eq!(net.host().steps, 31);
    net.expect_closed(peer, Cause::PEER_CLOSED);
    assert_eq!(net.ending(peer).map(|e| e.code), Some(EndCode::Close(1000)));
    assert!(net.is_open(other));
}

// ---- before credentials ----

#[test]
fn a_first_message_is_bounded_until_it_was_accepted() {
    let policy = Policy {
        first_message_bytes: Some(4_096),
        ..Policy::default()
    };
    let classes = vec![ClassConfig {
        name: "app".to_owned(),
        policy,
    }];
    let config = Config {
        classes,
        ..Config::default()
    };
    for first in [
        client_frame(0x81, &[b'x'; 4_097])[..14].to_vec(),
        [
            client_frame(0x01, &[b'x'; 4_000]),
            client_frame(0x80, &[b'x'; 97])[..8].to_vec(),
        ]
        .concat(),
    ] {
        let mut net = net(config.clone());
        let peer = net.connect("/");
        net.write(peer, &first);
        net.settle();
        assert!(net.host().heard.is_empty());
        let told = net.received(peer);
        assert!(
            matches!(&told[..], [Received::Close(1009, _)]),
            "{told:?}, as soon as the header was here"
        );
        net.half_close(peer);
        net.settle();
        net.expect_closed(peer, Cause::TOO_BIG);
    }
    let mut net = net(config);
    let peer = net.connect("/");
    net.write(peer, &client_frame(0x81, &[b'x'; 4_096]));
    net.write(peer, &client_frame(0x81, &[b'x'; 100_000]));
    net.settle();
    assert_eq!(net.host().heard.len(), 2);
}

// ---- the other steps of a turn ----

#[test]
fn commands_have_a_bound_and_none_is_lost() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    let (id, remote) = (net.id(peer), net.engine().remote());
    for i in 0..3_000u32 {
        let message = Message::binary(i.to_be_bytes().to_vec());
        remote.try_send(id, message).expect("room");
    }
    let mut counts = Vec::new();
    for _ in 0..4 {
        net.run_turn();
        counts.push(net.received(peer).len());
    }
    assert_eq!(counts, [1_024, 1_024, 952, 0]);
}

#[test]
fn a_broadcast_takes_turns_and_reaches_all_that_were_connected() {
    let mut net = net(Config::default());
    let peers: Vec<PeerId> = (0..2_500).map(|_| net.connect("/")).collect();
    let took = net.with_io(|_, io| io.broadcast(Class(0), &Message::text("to all")));
    assert!(took);
    let late = net.connect("/");
    net.settle();
    let all = [Received::Message(Message::text("to all"))];
    assert!(peers.iter().all(|p| net.received(*p) == all));
    assert!(net.received(late).is_empty(), "it came later");
    // One turn looks at 1 024 slots.
    net.with_io(|_, io| io.broadcast(Class(0), &Message::text("again")));
    let before = net.engine().stats().messages_out;
    net.run_turn();
    assert_eq!(net.engine().stats().messages_out - before, 1_024);
}

#[test]
fn what_goes_out_in_a_turn_is_bounded_and_heartbeats_go_first() {
    let mut net = net(Config::default());
    let peers: Vec<PeerId> = (0..40).map(|_| net.connect("/")).collect();
    let ids: Vec<ConnId> = peers.iter().map(|p| net.id(*p)).collect();
    net.advance(14_000);
    peers.iter().for_each(|p| drop(net.received(*p)));
    // 40 times 128 KiB; then heartbeats become due.
    let large = Message::binary(vec![1; 128 * 1024]);
    net.with_io(|_, io| io.send_many(ids.iter().copied(), &large));
    let before = net.engine().stats().bytes_out;
    net.run_turn_after(0);
    let out = net.engine().stats().bytes_out - before;
    assert!(out <= (1 << 20) + 130 * 1024 * 2, "{out} bytes in one turn");
    let mut got: Vec<usize> = peers.iter().map(|p| net.received(*p).len()).collect();
    assert!(got.iter().sum::<usize>() < 20, "{got:?}");
    for _ in 0..8 {
        net.run_turn();
    }
    got = peers.iter().map(|p| net.received(*p).len()).collect();
    assert!(got.iter().sum::<usize>() >= 30, "{got:?}");
}

#[test]
fn a_mass_death_is_looked_at_64_in_a_turn() {
    let config = Config {
        stale_closes_per_second: 0,
        ..Config::default()
    };
    let mut net = net(config);
    let peers: Vec<PeerId> = (0..500).map(|_| net.connect("/")).collect();
    peers.iter().for_each(|p| net.mute(*p));
    net.advance(44_900);
    let mut most = 0;
    let mut ended = 0;
    while ended < 500 {
        net.run_turn_after(1);
        let now = net.endings().len();
        most = most.max(now - ended);
        ended = now;
        assert!(net.now() < Micros::from_secs(50));
    }
    assert!(most <= 64, "{most} in one turn");
}

// ---- pausing ----

#[test]
fn a_paused_peer_is_neither_read_nor_pinged_nor_dead() {
    let mut net = net(Config::default());
    let peer = net.connect("/pause");
    net.write(peer, &numbered(3));
    net.settle();
    assert_eq!(net.host().heard.len(), 1, "paused at the first");
    net.mute(peer);
    drop(net.received(peer));
    net.advance(300_000);
    assert!(net.is_open(peer));
    assert!(net.received(peer).is_empty(), "not pinged");
    let id = net.id(peer);
    net.with_io(|host, io| {
        host.pausing.clear();
        io.resume_reading(id);
    });
    let resumed = net.now();
    net.settle();
    assert_eq!(net.host().heard.len(), 3);
    net.advance(44_000);
    assert!(net.is_open(peer), "its time begins anew");
    net.advance(2_000);
    net.expect_closed(peer, Cause::STALE);
    assert!(net.now() >= resumed + Micros::from_secs(45));
}

/// Its bytes wait for a host that may never resume reading, but the host must still be told of the
/// end.
#[test]
fn a_paused_peer_that_resets_ends_at_once() {
    let mut net = net(Config::default());
    let peer = net.connect("/pause");
    net.write(peer, &numbered(3));
    net.settle();
    assert!(net.engine().stats().held_bytes > 0);
    net.reset(peer);
    net.settle();
    net.expect_closed(peer, Cause::PEER_RESET);
    assert_eq!(net.engine().stats().held_bytes, 0);
}

#[test]
fn a_ping_from_before_a_pause_gives_no_round_trip_time() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    let id = net.id(peer);
    net.set_latency(peer, 100);
    // The first ping is sent when reading stops.
    while net.received(peer).is_empty() {
        net.advance(10);
    }
    net.with_io(|_, io| io.pause_reading(id));
    net.advance(60_000);
    net.with_io(|_, io| io.resume_reading(id));
    net.settle();
    let rtt = net.with_io(|_, io| io.health(id)).expect("open").rtt;
    assert_eq!(rtt.srtt_us(), None, "{rtt:?}");
}

// ---- slow consumers, and the close that reaches them ----

#[test]
fn a_burst_to_a_peer_that_reads_is_no_offence() {
    let config = Config {
        max_pending_bytes: 4 << 20,
        ..Config::default()
    };
    let mut net = net(config);
    let (large, small) = (net.connect("/"), net.connect("/"));
    let (large_id, small_id) = (net.id(large), net.id(small));
    for i in 0..8 {
        let message = Message::binary(vec![i; 900_000]);
        let sent = net.with_io(|_, io| io.send(large_id, message));
        assert!(!matches!(sent, SendOutcome::Refused(_)), "{sent:?}");
    }
    for i in 0..50_000u32 {
        let message = Message::binary(i.to_be_bytes().to_vec());
        net.with_io(|_, io| io.send(small_id, message));
    }
    net.settle();
    assert_eq!(net.received(large).len(), 8);
    assert_eq!(net.received(small).len(), 50_000);
    assert!(net.is_open(large) && net.is_open(small));
}

/// A peer that reads 150 KB a second, with 859 KB queued, during a drain.
#[test]
fn the_close_reaches_a_peer_that_is_behind_and_reads() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    let id = net.id(peer);
    net.set_window(peer, Some(0));
    for i in 0..10 {
        net.with_io(|_, io| io.send(id, Message::binary(vec![i; 85_900])));
    }
    net.settle();
    net.set_window(peer, Some(10_000));
    net.settle();
    net.with_io(|_, io| io.close_for(id, Cause::DRAINING, 1012, "service restart"));
    for _ in 0..10 {
        net.set_window(peer, Some(15_000));
        net.advance(100);
    }
    let received = net.received(peer);
    let [Received::Message(first), Received::Close(1012, reason)] = &received[..] else {
        panic!("the frame in progress, then the close: {received:?}");
    };
    assert_eq!((first.len(), &**reason), (85_900, "service restart"));
    net.settle();
    let end = net.ending(peer).expect("it has ended");
    assert_eq!(
        (end.cause, end.code),
        (Cause::DRAINING, EndCode::Close(1012))
    );
    assert!(end.clean);
    assert_eq!(end.unsent, 9, "for the host to keep");
}

#[test]
fn a_close_that_never_left_was_not_told() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    let id = net.id(peer);
    net.set_window(peer, Some(10));
    net.with_io(|_, io| io.send(id, Message::binary(vec![1; 1_000])));
    net.settle();
    net.with_io(|_, io| io.close_for(id, Cause::DRAINING, 1012, "service restart"));
    net.advance(1_900);
    assert!(net.ending(peer).is_none());
    net.advance(200);
    let end = net.ending(peer).expect("no byte moved for a close timeout");
    assert_eq!((end.cause, end.code), (Cause::DRAINING, EndCode::None));
    // A peer that reads very slowly has ten close timeouts in all.
    let peer = net.connect("/");
    let id = net.id(peer);
    net.set_window(peer, Some(10));
    net.with_io(|_, io| io.send(id, Message::binary(vec![1; 1_000])));
    net.settle();
    net.with_io(|_, io| io.close(id, 4000, "out"));
    let closed = net.now();
    while net.ending(peer).is_none() {
        net.set_window(peer, Some(1));
        net.advance(500);
    }
    let took = net.now() - closed;
    let most = Micros::from_secs(20);
    assert!(
        (most..=most + Micros::from_secs(1)).contains(&took),
        "{took}"
    );
}

// ---- which connection is closed when memory is short ----

fn small_memory() -> Net<Host> {
    net(Config {
        max_pending_bytes: 2 << 20,
        max_buffered_bytes: 64 << 20,
        ..Config::default()
    })
}

#[test]
fn strangers_cannot_take_the_memory_of_others() {
    let mut net = small_memory();
    let known = net.connect("/");
    net.send(known, Message::text("hello"));
    net.settle();
    let strangers: Vec<PeerId> = (0..70).map(|_| net.connect("/")).collect();
    for stranger in &strangers {
        let frame = client_frame(0x82, &vec![1; 1 << 20]);
        net.write(*stranger, &frame[..frame.len() - 1]);
        net.settle();
        net.advance(20);
    }
    let held = net.engine().stats().held_bytes;
    assert!(held <= 4 << 20, "{held}: a sixteenth is theirs");
    let message = client_frame(0x82, &[2; 100_000]);
    net.write(known, &message[..50_000]);
    net.settle();
    net.write(known, &message[50_000..]);
    net.settle();
    assert_eq!(net.host().heard.len(), 2);
    net.advance(3_000);
    net.expect_closed(strangers[0], Cause::BUFFERS_FULL);
    assert!(net.is_open(known));
}

#[test]
fn the_one_that_holds_most_for_longest_goes_first() {
    let mut net = small_memory();
    let peers: Vec<PeerId> = (0..70).map(|_| net.connect("/")).collect();
    for (nth, peer) in peers.iter().enumerate() {
        net.send(*peer, Message::text("hello"));
        let bytes = if nth == 5 { 1_000_000 } else { 900_000 };
        let frame = client_frame(0x82, &vec![1; bytes]);
        net.write(*peer, &frame[..frame.len() - 1]);
        net.set_in_frame(*peer, true);
        net.settle();
        net.advance(if nth < 10 { 0 } else { 100 });
    }
    let full = net.engine().stats().buffered_bytes();
    assert!(full <= 64 << 20, "{full}");
    let first = net.endings().first().map(|(id, _)| *id);
    net.advance(3_000);
    let first = first.or(net.endings().first().map(|(id, _)| *id));
    assert_eq!(
        first,
        Some(net.id(peers[5])),
        "the most bytes, as long as any"
    );
    assert!(
        net.endings()
            .iter()
            .all(|(_, end)| end.cause == Cause::BUFFERS_FULL)
    );
    assert!(net.is_open(peers[69]) && net.is_open(peers[60]));
}

/// A host whose work on messages of more than 1 000 bytes never ends, and which keeps them
/// meanwhile.
#[derive(Default)]
struct Keeper(Vec<(ConnId, usize)>);

impl Handler for Keeper {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        if message.len() > 1_000 {
            self.0.push((id, message.len()));
            io.set_unfinished(id, message.len());
        }
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        if io.class(id).is_none() {
            return self.0.retain(|(of, _)| *of != id);
        }
        let kept = self.0.iter().find(|(of, _)| *of == id);
        io.set_unfinished(id, kept.expect("an unfinished message").1);
        io.spend(SHARE_UNITS);
    }
}

/// Memory that a host keeps for a message counts for the sending connection: that one is closed
/// when memory is short.
#[test]
fn an_unfinished_message_is_weighed_with_its_connection() {
    let config = Config {
        max_pending_bytes: 2 << 20,
        max_buffered_bytes: 64 << 20,
        ..Config::default()
    };
    let mut net = Net::new(config, Keeper::default());
    let peers: Vec<PeerId> = (0..70).map(|_| net.connect("/")).collect();
    for peer in &peers {
        net.write(*peer, &client_frame(0x82, &vec![1; 1 << 20]));
        for _ in 0..40 {
            net.run_turn();
            net.check().unwrap_or_else(|e| panic!("{e}"));
            let kept: usize = net.host().0.iter().map(|(_, bytes)| bytes).sum();
            let held = net.engine().stats().held_bytes;
            assert!(
                kept as u64 <= held && held <= 64 << 20,
                "{kept} B, {held} B"
            );
        }
        net.run_turn_after(20);
    }
    let stats = net.engine().stats();
    assert!(stats.held_bytes > 32 << 20, "{}", stats.held_bytes);
    for _ in 0..200 {
        net.run_turn_after(20);
    }
    net.expect_closed(peers[0], Cause::BUFFERS_FULL);
    let mut ends = net.endings().iter();
    assert!(ends.all(|(_, end)| end.cause == Cause::BUFFERS_FULL));
    assert!(net.is_open(peers[69]));
}

// ---- findings of a security review ----

#[test]
fn pongs_that_a_stranger_does_not_read_are_few() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    net.set_window(peer, Some(0));
    net.write(peer, &client_frame(0x89, &[7; 125]).repeat(2_000));
    for _ in 0..2_000 {
        net.run_turn();
        // It reads a little, which counts as progress.
        net.set_window(peer, Some(1));
    }
    let id = net.id(peer);
    let pending = net.with_io(|_, io| io.pending(id));
    assert!(pending <= 64 * 1024 + 200, "{pending}");
    net.set_window(peer, None);
    net.half_close(peer);
    net.settle();
    net.expect_closed(peer, Cause::SLOW_CONSUMER);
}

#[test]
fn small_frames_between_fragments_are_no_progress_of_the_message() {
    let mut net = small_memory();
    let hoarders: Vec<PeerId> = (0..60).map(|_| net.connect("/")).collect();
    for hoarder in &hoarders {
        net.send(*hoarder, Message::text("hello"));
        net.write(*hoarder, &client_frame(0x02, &vec![1; 1_000_000]));
        net.settle();
        for other in &hoarders {
            net.write(*other, &client_frame(0x89, b"here"));
        }
        net.advance(5);
    }
    net.advance(3_000);
    let ended = net.endings().len();
    assert!(
        ended >= 1,
        "{ended} of those that keep saying that they are there"
    );
    let full = net.engine().stats().buffered_bytes();
    assert!(full <= (64 << 20) * 7 / 8, "{full}");
}

#[test]
fn a_destination_that_was_over_its_limit_tells_when_nothing_waits_though_it_never_blocked() {
    struct Telling(u32);
    impl Handler for Telling {
        fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
            Verdict::upgrade(Class(0))
        }
        fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {}
        fn on_writable(&mut self, _: &mut Io<'_>, _: ConnId) {
            self.0 += 1;
        }
    }
    let mut net = Net::new(Config::default(), Telling(0));
    let peer = net.connect("/");
    let id = net.id(peer);
    for _ in 0..6 {
        net.with_io(|_, io| io.send(id, Message::binary(vec![0; 1 << 20])));
    }
    assert!(net.with_io(|_, io| io.is_over_limit(id)));
    net.settle();
    assert_eq!(net.received(peer).len(), 6);
    assert_eq!(net.host().0, 1);
}

#[test]
fn what_others_do_later_in_a_turn_is_not_charged_to_the_peer_that_was_read_last() {
    let mut net = net(Config::default());
    for _ in 0..1_000 {
        net.connect("/sink");
    }
    let light = net.connect("/");
    let remote = net.engine().remote();
    for _ in 0..20 {
        net.write(light, &client_frame(0x89, b"there?"));
        net.with_io(|_, io| io.broadcast(Class(0), &Message::text("to all")));
        for _ in 0..500 {
            remote
                .try_send(net.id(light), Message::text("x"))
                .expect("room");
        }
        net.run_turn();
        net.check().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(net.engine().stats().classes[0].throttled, 0);
        assert_eq!(pongs(&mut net, light), 1);
    }
}
