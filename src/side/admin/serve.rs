//! The admin listener: few connections, each with deadlines. An idle connection never keeps others
//! out.
//!
//! A connection proves itself by a request with a valid token. Where no token is set, any complete
//! request that is allowed proves it. Unproven connections are closed to make room for new ones,
//! and never take a place from a proven one.

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

/// The limit of concurrent connections. Each may hold one answer, a few megabytes at most.
const CONNECTIONS: usize = 64;

/// Of the `CONNECTIONS` places, this many are reserved for proven connections (those that have
/// shown the token). Unproven ones never hold more than the rest. So a connected operator keeps a
/// place under any flood.
const RESERVED: usize = 8;

/// Of the `CONNECTIONS` places, this many are kept free for new connections: idle proven ones never
/// hold more than the rest. So an operator that connects finds a place, and no proven connection is
/// closed for it before it has proved itself, too.
const ENTRANCE: usize = 8;

/// How many new connections are accepted together, and get their places together. In a flood, each
/// poll of all sockets then serves this many.
const NEWCOMERS: usize = 16;

/// How long a client may take to send its first request head.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a client may take to send a further head, and how long it may be idle between two
/// requests.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long a client may go without reading a byte of an answer. (Reading from the client has its
/// own deadlines, for heads here and for bodies where they are read. A client of the live stream
/// sends nothing, without a limit of time.)
const STANDSTILL: Duration = Duration::from_secs(30);

/// The longest request head, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// How long to wait before the next accept if no file descriptor is free.
const RETRY: Duration = Duration::from_millis(200);

/// Serves connections until the process ends.
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

/// Waits for a new connection; also takes those that are waiting already.
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

/// Answers the requests of one connection until it ends.
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
            // Dropping this tells the seat, whether the answer was made or not.
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
        // After the first request, hyper enforces the deadlines of further heads.
        if !seat.has_asked() && first.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err("no request in time".to_owned()));
        }
        if !seat.is_leaving(cx) {
            last_look = None;
            return Poll::Pending;
        }
        // The runtime polls all sockets before this future is ready. So everything that has arrived
        // by now is read above, before the connection is closed: it may be a request that proves
        // it.
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

/// The connection of a request; stored in the request's extensions.
#[derive(Clone)]
pub(super) struct Caller {
    seat: Arc<Seat>,
    /// The peer's address; IPv4-mapped addresses are converted to IPv4.
    pub(super) peer: IpAddr,
}

impl Caller {
    /// Records that the request has the token: the connection is proven from now on.
    pub(super) fn has_token(&self) {
        self.seat.prove();
    }

    /// Records that the request is allowed and that no token is set: the connection is proven once
    /// the request is complete.
    pub(super) fn may_ask(&self) {
        self.seat.prove_when_whole();
    }
}

/// The body of a request, which records when it has arrived completely.
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

/// The body of an answer. Its connection counts as busy until this is dropped: for a live stream,
/// that is at its end.
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
    /// Notified when a connection has ended, or when one that was chosen to make room stays.
    changed: Notify,
}

#[derive(Default)]
struct Guests {
    by_seat: BTreeMap<u64, Guest>,
    /// A counter that numbers events: the event with the lower number was earlier.
    moment: u64,
}

/// A connection of the admin listener, and the facts that decide whether it must make room for
/// another.
struct Guest {
    /// Whether the connection is proven: it has sent a valid token or, where no token is set, a
    /// complete request that is allowed.
    is_proven: bool,
    has_asked: bool,
    /// Whether the current request is allowed and proves the connection once it is complete.
    counts_when_whole: bool,
    is_whole: bool,
    /// Whether a request of the connection is being answered.
    is_busy: bool,
    /// When it was accepted, or when its last request arrived or was answered; a number of
    /// `Guests::moment`.
    since: u64,
    /// Whether the connection must make room for another, once the input that has arrived is read.
    is_leaving: bool,
    /// The waker of the connection's task.
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

    /// Chooses a connection that makes room, among those for which `may` is true: the one without
    /// an event for longest. A connection in the middle of an answer is not spared, because a
    /// client could keep its place by reading slowly. Returns whether there was one.
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

    /// Closes the proven connections that have been idle for longest, until the places of
    /// `ENTRANCE` are free again.
    fn keep_entrance(&mut self) {
        while self.proven() > CONNECTIONS - ENTRANCE
            && self.dismiss(|guest| guest.is_proven && !guest.is_busy)
        {}
    }
}

impl Places {
    /// Returns whether there is room for a new connection, which is unproven. If there is none,
    /// chooses as many unproven connections as are waiting to make room. So clients without the
    /// token never keep out one that has it. `changed` tells when to call again.
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
        // No more than needed, because each may still prove itself.
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

/// The place of one connection; dropping it frees the place.
struct Seat {
    places: Arc<Places>,
    number: u64,
}

impl Seat {
    /// Records a new request: its head has arrived, and its body, too, if `is_whole`.
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

    /// Without a token: marks the connection proven once the body is complete. Until then it is
    /// unproven, even if it was proven before.
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

    /// Records that the request's body is complete.
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

    /// Records that the request was answered.
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

    /// Returns whether the connection must make room; if not, its task is woken when that changes.
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
