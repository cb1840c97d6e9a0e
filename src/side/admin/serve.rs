//! The admin listener: few connections, none of them for ever, and none that keeps others out by doing nothing.
//!
//! A connection proves itself by a request with a valid token; where there is no token, by any whole request that may be made.
//! What has not proved itself makes room for newcomers, and never takes a place from what has.

use crate::side::lock::lock;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use axum::response::Response;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_io_timeout::TimeoutStream;

/// Connections at one time. Each may hold one answer, a few megabytes at most.
const CONNECTIONS: usize = 64;

/// Of which for connections that have proved themselves: what has not never holds more than the rest. So an operator who is here
/// has a place, whoever else comes.
const RESERVED: usize = 8;

/// Of which to come in by: what has proved itself never holds more than the rest while it is idle. So an operator who is not here
/// yet finds a place, and takes it from nobody who has proved itself before it has done so, too.
const ENTRANCE: usize = 8;

/// Newcomers that are accepted at a time, and that have room made for them together. In a flood each look at all sockets then
/// serves so many.
const NEWCOMERS: usize = 16;

/// How long a client may take for its first request head.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a client may take to send a further head, and how long it may sit idle between two requests.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long a client may take no byte of an answer. (What it sends is timed where it is expected: a head here, a body where it is
/// read. Whoever listens to what goes on sends nothing, for as long as it likes.)
const STANDSTILL: Duration = Duration::from_secs(30);

/// The longest request head, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// How long to wait when descriptors have run out.
const RETRY: Duration = Duration::from_millis(200);

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => return log::error!("admin listener lost error=\"{e}\""),
    };
    let places = Arc::new(Places::default());
    let mut newcomers = VecDeque::with_capacity(NEWCOMERS);
    loop {
        let accepted = accept(&listener, &mut newcomers).await;
        while let Some((stream, peer)) = newcomers.pop_front() {
            while !places.make_room(1 + newcomers.len()) {
                places.changed.notified().await;
            }
            places.fill(stream, peer.ip().to_canonical(), router.clone());
        }
        if let Err(e) = accepted {
            log::debug!("admin accept failed error=\"{e}\"");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Waits for a newcomer, and takes those that wait already along.
async fn accept(
    listener: &tokio::net::TcpListener,
    newcomers: &mut VecDeque<(TcpStream, SocketAddr)>,
) -> io::Result<()> {
    newcomers.push_back(listener.accept().await?);
    while newcomers.len() < NEWCOMERS {
        match poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
            Poll::Ready(newcomer) => newcomers.push_back(newcomer?),
            Poll::Pending => break,
        }
    }
    Ok(())
}

/// Serves one connection up to its end.
async fn converse(stream: TcpStream, router: Router, caller: Caller) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STANDSTILL));
    let router = TowerToHyperService::new(router);
    let seat = caller.seat.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let seat = caller.seat.clone();
        seat.asks(request.body().is_end_stream());
        request.extensions_mut().insert(caller.clone());
        let request = request.map(|body| Coming {
            body,
            seat: seat.clone(),
        });
        let answer = router.call(request);
        async move {
            // Whichever it is, the seat is told by what is dropped.
            let mut going = Going {
                body: Body::empty(),
                seat,
            };
            answer.await.map(|answer: Response| {
                answer.map(|body| {
                    going.body = body;
                    going
                })
            })
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let (mut served, mut first) = (pin!(served), pin!(tokio::time::sleep(FIRST_HEAD_TIME)));
    let mut last_look = None;
    let ended = poll_fn(|cx| {
        if let Poll::Ready(served) = served.as_mut().poll(cx) {
            return Poll::Ready(served.map_err(|e| e.to_string()));
        }
        // From its first request on it is hyper that watches over its heads.
        if !seat.has_asked() && first.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err("no request in time".to_owned()));
        }
        if !seat.is_leaving(cx) {
            last_look = None;
            return Poll::Pending;
        }
        // The runtime looks at all sockets before this is ready. So what has arrived by now is read, just above, before the
        // connection is given up: it may be a request that proves it.
        let last_look = last_look.get_or_insert_with(|| Box::pin(tokio::task::yield_now()));
        last_look
            .as_mut()
            .poll(cx)
            .map(|()| Err("made room".to_owned()))
    });
    if let Err(e) = ended.await {
        log::debug!("admin connection ended error=\"{e}\"");
    }
}

/// The connection that a request came over. It is among the request's extensions.
#[derive(Clone)]
pub(super) struct Caller {
    seat: Arc<Seat>,
    /// The other end; IPv4 as IPv4.
    pub(super) peer: IpAddr,
}

impl Caller {
    /// The request has brought the token: the connection has proved itself for good.
    pub(super) fn has_token(&self) {
        self.seat.prove();
    }

    /// The request is one that may be made, and there is no token: the connection has proved itself if the whole of the request
    /// is there, or once it is.
    pub(super) fn may_ask(&self) {
        self.seat.prove_when_whole();
    }
}

/// A request's body on its way in.
struct Coming {
    body: Incoming,
    seat: Arc<Seat>,
}

impl hyper::body::Body for Coming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.seat.is_whole();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that is being given: until its body has been handed out, which of what goes on is late, its seat is not idle.
struct Going {
    body: Body,
    seat: Arc<Seat>,
}

impl hyper::body::Body for Going {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.seat.answered();
    }
}

/// The connections that are served.
#[derive(Default)]
struct Places {
    guests: Mutex<Guests>,
    /// A connection has ended, or one that was to make room stays.
    changed: Notify,
}

#[derive(Default)]
struct Guests {
    by_seat: BTreeMap<u64, Guest>,
    /// Counts on with everything that happens: what has the lower number was earlier.
    moment: u64,
}

/// One connection, and what decides whether it makes room.
struct Guest {
    /// It has sent a valid token; or, where there is none, a request that may be made, whole.
    is_proven: bool,
    has_asked: bool,
    /// The request at hand may be made and counts once it is whole.
    counts_when_whole: bool,
    is_whole: bool,
    /// A request of it is being answered.
    is_busy: bool,
    /// When it came, or when its last request did or was answered.
    since: u64,
    /// It is to make room, once what has arrived was read.
    is_leaving: bool,
    /// What looks after it.
    waker: Option<Waker>,
}

impl Guests {
    fn now(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    fn proven(&self) -> usize {
        let proven = self.by_seat.values().filter(|guest| guest.is_proven);
        proven.filter(|guest| !guest.is_leaving).count()
    }

    /// Has one of those make room that this is true of: the one that has done nothing new for longest. What is in the middle of an
    /// answer is not spared: by reading slowly a client could hold its place. Returns whether there is any.
    fn dismiss(&mut self, may: impl Fn(&Guest) -> bool) -> bool {
        let those = self.by_seat.values_mut();
        let those = those.filter(|guest| !guest.is_leaving && may(guest));
        let Some(guest) = those.min_by_key(|guest| guest.since) else {
            return false;
        };
        guest.is_leaving = true;
        if let Some(waker) = guest.waker.take() {
            waker.wake();
        }
        true
    }

    /// Of those that have proved themselves, the ones that have been idle for longest make room for what has come behind them.
    fn keep_entrance(&mut self) {
        while self.proven() > CONNECTIONS - ENTRANCE
            && self.dismiss(|guest| guest.is_proven && !guest.is_busy)
        {}
    }
}

impl Places {
    /// Returns whether there is room for a newcomer, which has proved nothing. If there is none, as many as wait are told to make
    /// some, none of which has proved itself: so without the token nothing keeps out what has it. `changed` tells when to ask again.
    fn make_room(&self, waiting: usize) -> bool {
        let mut guests = lock(&self.guests);
        let all = guests.by_seat.len();
        let proven = guests
            .by_seat
            .values()
            .filter(|guest| guest.is_proven)
            .count();
        if all < CONNECTIONS && all - proven < CONNECTIONS - RESERVED {
            return true;
        }
        // No more than are needed: each may yet prove itself.
        let leaving = guests.by_seat.values().filter(|guest| guest.is_leaving);
        for _ in leaving.count()..waiting {
            guests.dismiss(|guest| !guest.is_proven);
        }
        false
    }

    /// Serves a connection.
    fn fill(self: &Arc<Self>, stream: TcpStream, peer: IpAddr, router: Router) {
        let mut guests = lock(&self.guests);
        let number = guests.now();
        let guest = Guest {
            is_proven: false,
            has_asked: false,
            counts_when_whole: false,
            is_whole: false,
            is_busy: false,
            since: number,
            is_leaving: false,
            waker: None,
        };
        guests.by_seat.insert(number, guest);
        drop(guests);
        let seat = Arc::new(Seat {
            places: self.clone(),
            number,
        });
        tokio::spawn(converse(stream, router, Caller { seat, peer }));
    }
}

/// The place of one connection, free again when this is dropped.
struct Seat {
    places: Arc<Places>,
    number: u64,
}

impl Seat {
    /// A request has come: its head, and perhaps the whole of it.
    fn asks(&self, is_whole: bool) {
        let mut guests = lock(&self.places.guests);
        let now = guests.now();
        if let Some(guest) = guests.by_seat.get_mut(&self.number) {
            (guest.has_asked, guest.is_busy, guest.since) = (true, true, now);
            (guest.is_whole, guest.counts_when_whole) = (is_whole, false);
            if guest.is_proven {
                guest.is_leaving = false;
            }
        }
        self.places.changed.notify_one();
    }

    fn prove(&self) {
        let mut guests = lock(&self.places.guests);
        if let Some(guest) = guests.by_seat.get_mut(&self.number) {
            (guest.is_proven, guest.is_leaving) = (true, false);
        }
        guests.keep_entrance();
        self.places.changed.notify_one();
    }

    /// Without a token: a body that does not come takes away what was proved before.
    fn prove_when_whole(&self) {
        let mut guests = lock(&self.places.guests);
        let Some(guest) = guests.by_seat.get_mut(&self.number) else {
            return;
        };
        if !guest.is_whole {
            (guest.counts_when_whole, guest.is_proven) = (true, false);
            return;
        }
        drop(guests);
        self.prove();
    }

    /// The request's body has come.
    fn is_whole(&self) {
        let mut guests = lock(&self.places.guests);
        let Some(guest) = guests.by_seat.get_mut(&self.number) else {
            return;
        };
        guest.is_whole = true;
        if std::mem::take(&mut guest.counts_when_whole) {
            drop(guests);
            self.prove();
        }
    }

    /// Its answer is given.
    fn answered(&self) {
        let mut guests = lock(&self.places.guests);
        let now = guests.now();
        if let Some(guest) = guests.by_seat.get_mut(&self.number) {
            (guest.is_busy, guest.since) = (false, now);
        }
        guests.keep_entrance();
        self.places.changed.notify_one();
    }

    fn has_asked(&self) -> bool {
        let guests = lock(&self.places.guests);
        let guest = guests.by_seat.get(&self.number);
        guest.is_some_and(|guest| guest.has_asked)
    }

    /// Returns whether the connection is to make room; if not, it is woken when it is.
    fn is_leaving(&self, cx: &Context<'_>) -> bool {
        let mut guests = lock(&self.places.guests);
        let Some(guest) = guests.by_seat.get_mut(&self.number) else {
            return true;
        };
        guest.waker = Some(cx.waker().clone());
        guest.is_leaving
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.places.guests).by_seat.remove(&self.number);
        self.places.changed.notify_one();
    }
}
