//! Control peers: well-behaved clients that measure the effect of the attack.
//!
//! Each sends a ping every 20 ms with the time at which it was due, so a ping that is sent late
//! counts its lateness, too. The pong tells how long it took. A ping without an answer counts with
//! its age at the end. Each control peer also answers the gateway's own pings; the time between two
//! of them shows how late they were.

use crate::kinds::{frame, upgrade};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use pulsegate::wire::frame::Header;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PEERS: usize = 50;
const INTERVAL: Duration = Duration::from_millis(20);

/// The gateway's heartbeat interval: `benches/scenarios/attack/run.py` starts it with this value.
const HEARTBEAT_US: u64 = 1_000_000;

struct Peer {
    stream: TcpStream,
    rest: Vec<u8>,
    due: Instant,
    /// The due times (µs since the start) of pings that are not answered.
    open: std::collections::VecDeque<u64>,
    heartbeat: Option<u64>,
}

/// Sends pings for this time, or until standard input is closed. Returns the measurements as JSON.
///
/// # Errors
/// If the peers cannot connect, or if polling fails.
pub fn run(addr: SocketAddr, time: Duration, floor: bool) -> io::Result<String> {
    let mut poll = Poll::new()?;
    let start = Instant::now();
    let us = |at: Instant| (at - start).as_micros() as u64;
    let mut peers = Vec::new();
    for n in 0..PEERS {
        let mut stream = std::net::TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(upgrade(&format!("/glasses-ws?user=control-{n}")).as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let text = String::from_utf8_lossy(&head).into_owned();
            return Err(io::Error::other(format!(
                "a control peer was refused: {text}"
            )));
        }
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let readable = Interest::READABLE;
        poll.registry().register(&mut stream, Token(n), readable)?;
        peers.push(Peer {
            stream,
            rest: Vec::new(),
            due: start + INTERVAL * n as u32 / PEERS as u32,
            open: Default::default(),
            heartbeat: None,
        });
    }
    eprintln!("holding");
    let over = over();
    let end = Instant::now() + time;
    let (mut rtts, mut gaps, mut lost, mut sent) = (Vec::new(), Vec::new(), 0, 0u64);
    let mut own_lateness = 0;
    let mut events = Events::with_capacity(256);
    let mut buffer = vec![0; 64 << 10];
    let mut alive = [true; PEERS];
    // All measurements start here: the set-up is not measured.
    let begin = Instant::now();
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.due = begin + INTERVAL * n as u32 / PEERS as u32;
    }
    loop {
        let now = Instant::now();
        if now >= end || over.load(Relaxed) {
            break;
        }
        let next = peers.iter().map(|p| p.due).min().unwrap_or(end);
        let wait = next.saturating_duration_since(now);
        match poll.poll(&mut events, Some(wait)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let n = event.token().0;
            let peer = &mut peers[n];
            loop {
                match peer.stream.read(&mut buffer) {
                    Ok(read) if read > 0 => peer.rest.extend_from_slice(&buffer[..read]),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    _ => {
                        lost += u64::from(std::mem::replace(&mut alive[n], false));
                        break;
                    }
                }
            }
            let at = us(Instant::now());
            while let Some((first, payload, length)) = server_frame(&peer.rest) {
                match first & 0x0F {
                    0xA if payload.len() == 8 => {
                        let stamp = u64::from_be_bytes(payload.try_into().unwrap_or_default());
                        // A pong also answers the pings before it (RFC 6455 §5.5.3).
                        while let Some(due) = peer.open.front().copied().filter(|due| *due <= stamp)
                        {
                            peer.open.pop_front();
                            rtts.push(at - due);
                        }
                    }
                    0x9 => {
                        let pong = frame(0x8A, payload);
                        let _ = peer.stream.write(&pong);
                        if let Some(before) = peer.heartbeat.replace(at) {
                            gaps.push(at - before);
                        }
                    }
                    _ => {}
                }
                peer.rest.drain(..length);
            }
        }
        let now = Instant::now();
        for (n, peer) in peers.iter_mut().enumerate() {
            while alive[n] && peer.due <= now {
                own_lateness = own_lateness.max((now - peer.due).as_micros() as u64);
                let stamp = us(peer.due);
                peer.due += INTERVAL;
                sent += 1;
                peer.open.push_back(stamp);
                // A full socket is the server's fault; the ping counts as unanswered.
                let _ = peer.stream.write(&frame(0x89, &stamp.to_be_bytes()));
            }
            if !alive[n] {
                peer.due = end;
            }
        }
    }
    let last = us(Instant::now());
    let unanswered: Vec<u64> = peers
        .iter()
        .flat_map(|p| p.open.iter().map(|due| last - due))
        .collect();
    // One interval may be on the way; older pings count with their age.
    let overdue = unanswered.iter().filter(|age| **age > 20_000);
    let overdue: Vec<u64> = overdue.copied().collect();
    let waiting = overdue.len();
    rtts.extend(overdue);
    rtts.sort_unstable();
    let at = |share: f64| {
        rtts.get(((rtts.len() as f64 * share) as usize).min(rtts.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0)
    };
    // A heartbeat that never arrived counts as late, too.
    if !floor {
        let pending = peers.iter().filter_map(|p| Some(last - p.heartbeat?));
        gaps.extend(pending.filter(|gap| *gap > HEARTBEAT_US));
    }
    let late = gaps
        .iter()
        .map(|gap| gap.saturating_sub(HEARTBEAT_US))
        .max();
    Ok(format!(
        "{{\"peers\":{PEERS},\"pings\":{sent},\"p50_us\":{},\"p99_us\":{},\"max_us\":{},\
         \"unanswered\":{waiting},\"closed\":{lost},\"heartbeats\":{},\
         \"heartbeat_late_us\":{},\"own_lateness_us\":{own_lateness}}}",
        at(0.5),
        at(0.99),
        at(1.0),
        gaps.len(),
        late.map_or("null".to_owned(), |late| late.to_string()),
    ))
}

/// Returns a flag that becomes true when standard input is closed, which signals the end of the
/// attack.
fn over() -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        told.store(true, Relaxed);
    });
    over
}

/// Returns the first frame of a server: its first byte, its payload and its length.
fn server_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let header = Header::parse(bytes)?;
    let len = header.frame_len();
    Some((header.first, bytes.get(header.len..len)?, len))
}
