//! A herd on sockets: clients of pulse on one loop. It opens them as fast as the gateway takes
//! them, says so, and then says when each of them is back after the gateway was killed.
//!
//! Lines of JSON: `{"opened":…}` when all are open for the first time, with the rate; `{"lost":…}`
//! when the first loss is seen; `{"back":…}` when all are back, or after a minute.

use pulsegate::client::{Attempt, ClientEvent, ClientId, ClientOptions, PulseClients};
use pulsegate::http::HeaderValue;
use pulsegate::{
    Cause, Class, Config, ConnId, Dial, DialAddress, DialRequest, Ending, Handler, Io, Message,
    Reactor, Request, Response, ResponseVerdict, TimerId, Verdict,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The longest time for all to open, and for all to come back.
const LONGEST: Duration = Duration::from_secs(60);

/// Tries under way at first: enough that the gateway is never idle.
const UNDER_WAY: usize = 256;

struct Host {
    clients: PulseClients,
    ids: Vec<ClientId>,
    address: SocketAddr,
    path: String,
    /// Clients that were started.
    started: usize,
    open: usize,
    /// When each client was open, from the start of the program.
    opened: Vec<Instant>,
    lost_at: Option<Instant>,
    lost: usize,
    back: Vec<Instant>,
    resumed: usize,
}

impl Host {
    fn target(&self, id: ClientId, attempt: &Attempt) -> Dial {
        let path = self
            .path
            .replace("{}", &format!("{id:?}").replace(['(', ')'], "-"));
        let host = HeaderValue::from_static("herd");
        let _ = attempt;
        Dial::new(
            DialAddress::Tcp(self.address),
            DialRequest::new(&path, host),
            Class(0),
        )
    }

    /// Starts further clients, so that enough of them are under way.
    fn start_some(&mut self, io: &mut Io<'_>) {
        while self.started < self.ids.len() && self.started - self.opened.len() < UNDER_WAY {
            let id = self.ids[self.started];
            self.started += 1;
            self.clients.reconnect(io, id);
            self.take_events(io);
        }
    }

    fn take_events(&mut self, io: &mut Io<'_>) {
        let mut events = VecDeque::new();
        while let Some(event) = self.clients.next_event() {
            events.push_back(event);
        }
        for (id, event) in events {
            match event {
                ClientEvent::Connecting(attempt) => {
                    let dial = self.target(id, &attempt);
                    self.clients.connect(io, id, dial);
                }
                ClientEvent::Opened | ClientEvent::Resumed { .. } => {
                    self.resumed += usize::from(matches!(event, ClientEvent::Resumed { .. }));
                    self.open += 1;
                    match self.lost_at {
                        None => self.opened.push(Instant::now()),
                        Some(_) => self.back.push(Instant::now()),
                    }
                }
                ClientEvent::Suspended { .. } => {
                    self.open -= 1;
                    self.lost += 1;
                    self.lost_at.get_or_insert_with(Instant::now);
                }
                _ => {}
            }
        }
    }
}

impl Handler for Host {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::refuse(Cause::BAD_REQUEST, 404, "this host only dials")
    }

    fn on_response(&mut self, io: &mut Io<'_>, id: ConnId, response: &Response) -> ResponseVerdict {
        let verdict = self.clients.on_response(io, id, response);
        verdict.unwrap_or(ResponseVerdict::Open)
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.clients.on_open(io, id);
        self.take_events(io);
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        self.clients.on_message(io, id, message);
        self.take_events(io);
        self.start_some(io);
    }

    fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.clients.on_writable(io, id);
        self.take_events(io);
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.clients.on_close(io, id, end);
        self.take_events(io);
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        self.clients.on_timer(io, timer);
        self.take_events(io);
    }
}

/// Runs the herd.
pub fn run(address: SocketAddr, path: &str, count: usize) -> ExitCode {
    let mut clients = PulseClients::new();
    let ids = (0..count).map(|nth| {
        let mut options = ClientOptions::default();
        options.seed = nth as u32;
        options.has_reports = false;
        clients.add(options, None)
    });
    let ids = ids.collect();
    let host = Host {
        clients,
        ids,
        address,
        path: path.to_owned(),
        started: 0,
        open: 0,
        opened: Vec::new(),
        lost_at: None,
        lost: 0,
        back: Vec::new(),
        resumed: 0,
    };
    let mut reactor = match Reactor::without_listener(Config::default(), host) {
        Ok(reactor) => reactor,
        Err(error) => {
            eprintln!("herd: {error}");
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    reactor.with_io(|host, io| host.start_some(io));
    if !turn_until(&mut reactor, |host| host.opened.len() >= count) {
        let open = reactor.engine().handler().opened.len();
        eprintln!("herd: {open} of {count} open");
        return ExitCode::FAILURE;
    }
    let host = reactor.engine().handler();
    let took = started.elapsed().as_secs_f64();
    println!(
        "{{\"opened\":{count},\"seconds\":{took:.3},\"per_s\":{:.0},\"peak_per_s\":{}}}",
        count as f64 / took,
        peak(&host.opened)
    );
    if !turn_until(&mut reactor, |host| host.lost_at.is_some()) {
        eprintln!("herd: nothing was lost");
        return ExitCode::FAILURE;
    }
    println!("{{\"lost\":true}}");
    let is_whole = turn_until(&mut reactor, |host| {
        host.open == count && host.lost >= count
    });
    report(reactor.engine().handler(), count);
    ExitCode::from(u8::from(!is_whole))
}

/// Turns the loop until something holds. Returns whether it does within a minute.
fn turn_until(reactor: &mut Reactor<Host>, holds: impl Fn(&Host) -> bool) -> bool {
    let until = Instant::now() + LONGEST;
    while Instant::now() < until {
        if holds(reactor.engine().handler()) {
            return true;
        }
        if reactor.run_turn(Some(Duration::from_millis(20))).is_err() {
            return false;
        }
    }
    false
}

fn report(host: &Host, count: usize) {
    let Some(lost_at) = host.lost_at else { return };
    let at = |part: usize| {
        let nth = (count * part).div_ceil(100).saturating_sub(1);
        let at = host.back.get(nth).map(|at| (*at - lost_at).as_millis());
        at.map_or("null".to_owned(), |ms| ms.to_string())
    };
    println!(
        "{{\"back\":{},\"resumed\":{},\"lost\":{},\"peak_per_s\":{},\"back_50_ms\":{},\
         \"back_99_ms\":{},\"back_all_ms\":{}}}",
        host.back.len(),
        host.resumed,
        host.lost,
        peak(&host.back),
        at(50),
        at(99),
        at(100)
    );
}

/// Returns the most times within one second.
fn peak(times: &[Instant]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (nth, at) in times.iter().enumerate() {
        while *at - times[first] >= Duration::from_secs(1) {
            first += 1;
        }
        most = most.max(nth + 1 - first);
    }
    most
}
