//! The admin listener: few connections, none of them for ever, and none that keeps others out by doing nothing.

use super::lock;
use axum::Router;
use axum::http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_io_timeout::TimeoutStream;

/// Connections at one time. Whoever comes on top takes the place of one that is idle; if none is, it waits, and the others in
/// the kernel's queue. Each may hold one answer, a few megabytes at most.
const CONNECTIONS: usize = 64;

/// How long a client may take for its first request head.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a client may take to send a further head, and how long it may sit idle between two requests.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long a client may take no byte of an answer, or send none of a body.
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
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                log::debug!("admin accept failed error=\"{e}\"");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        while !places.make_room() {
            places.changed.notified().await;
        }
        places.fill(stream, router.clone());
    }
}

/// Serves one connection up to its end.
async fn converse(stream: TcpStream, router: Router, seat: Arc<Seat>) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(Some(STANDSTILL));
    stream.set_write_timeout(Some(STANDSTILL));
    let router = TowerToHyperService::new(router);
    let sitting = seat.clone();
    let service = service_fn(move |request| {
        sitting.asks();
        let (answer, sitting) = (router.call(request), sitting.clone());
        async move {
            let answer = answer.await;
            sitting.answered(answer.as_ref().is_ok_and(|a| is_let_in(a.status())));
            answer
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let (mut served, mut first) = (pin!(served), pin!(tokio::time::sleep(FIRST_HEAD_TIME)));
    let ended = poll_fn(|cx| {
        if let Poll::Ready(served) = served.as_mut().poll(cx) {
            return Poll::Ready(served.map_err(|e| e.to_string()));
        }
        // From its first request on it is hyper that watches over its heads.
        if !seat.has_asked() && first.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err("no request in time".to_owned()));
        }
        Poll::Pending
    });
    if let Err(e) = ended.await {
        log::debug!("admin connection ended error=\"{e}\"");
    }
}

fn is_let_in(status: StatusCode) -> bool {
    !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// The connections that are served.
#[derive(Default)]
struct Places {
    guests: Mutex<Guests>,
    /// Somebody has left, or has become idle.
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
    task: AbortHandle,
    /// It was let in: it has got another answer than that it may not ask.
    known: bool,
    has_asked: bool,
    /// Since when it has no request that is being answered, if it has none.
    idle: Option<u64>,
}

impl Guests {
    fn now(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }
}

impl Places {
    /// Whether there is room; if need be, by ending who has been idle for longest. Whoever was not let in yet goes before all
    /// who were: without the token nobody keeps out who has it.
    fn make_room(&self) -> bool {
        let mut guests = lock(&self.guests);
        if guests.by_seat.len() < CONNECTIONS {
            return true;
        }
        let idle = guests.by_seat.iter();
        let idle = idle.filter_map(|(seat, guest)| Some((guest.known, guest.idle?, *seat)));
        let Some((_, _, seat)) = idle.min() else {
            return false;
        };
        if let Some(guest) = guests.by_seat.remove(&seat) {
            guest.task.abort();
        }
        true
    }

    /// Serves a connection.
    fn fill(self: &Arc<Self>, stream: TcpStream, router: Router) {
        // Held until it is written down: it may end at once.
        let mut guests = lock(&self.guests);
        let number = guests.now();
        let seat = Arc::new(Seat {
            places: self.clone(),
            number,
        });
        let task = tokio::spawn(converse(stream, router, seat)).abort_handle();
        let guest = Guest {
            task,
            known: false,
            has_asked: false,
            idle: Some(number),
        };
        guests.by_seat.insert(number, guest);
    }
}

/// The place of one connection, free again when this is dropped.
struct Seat {
    places: Arc<Places>,
    number: u64,
}

impl Seat {
    /// A request has come.
    fn asks(&self) {
        if let Some(guest) = lock(&self.places.guests).by_seat.get_mut(&self.number) {
            (guest.has_asked, guest.idle) = (true, None);
        }
    }

    /// Its answer is on its way.
    fn answered(&self, let_in: bool) {
        let mut guests = lock(&self.places.guests);
        let now = guests.now();
        if let Some(guest) = guests.by_seat.get_mut(&self.number) {
            guest.known |= let_in;
            guest.idle = Some(now);
        }
        self.places.changed.notify_one();
    }

    fn has_asked(&self) -> bool {
        let guests = lock(&self.places.guests);
        let guest = guests.by_seat.get(&self.number);
        guest.is_some_and(|guest| guest.has_asked)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.places.guests).by_seat.remove(&self.number);
        self.places.changed.notify_one();
    }
}
