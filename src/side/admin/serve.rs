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
const CONNECTIONS_MAX: usize = 64;

/// Of the `CONNECTIONS_MAX` places, this many are reserved for proven connections (those that have
/// shown the token). Unproven ones never hold more than the rest. So a connected operator keeps a
/// place under any flood.
const RESERVED_FOR_PROVEN: usize = 8;

/// Of the `CONNECTIONS_MAX` places, this many are kept free for new connections: idle proven ones
/// never hold more than the rest. So an operator that connects finds a place, and no proven
/// connection is closed for it before it has proved itself, too.
const KEPT_FREE: usize = 8;

/// How many new connections are accepted together, and get their places together. In a flood, each
/// poll of all sockets then serves this many.
const ACCEPT_BATCH: usize = 16;

/// How long a client may take to send its first request head.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to send a further head, and how long it may be idle between two
/// requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may go without reading a byte of an answer. (Reading from the client has its
/// own deadlines, for heads here and for bodies where they are read. A client of the live stream
/// sends nothing, without a limit of time.)
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest request head, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// How long to wait before the next accept if no file descriptor is free.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// Serves connections until the process ends.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => return log::error!("admin listener failed error=\"{e}\""),
    };
    let connections = Arc::new(AdminConnections::default());
    let mut new_connections = VecDeque::with_capacity(ACCEPT_BATCH);
    loop {
        let accepted = accept(&listener, &mut new_connections).await;
        while let Some((stream, peer)) = new_connections.pop_front() {
            while !connections.make_room(1 + new_connections.len()) {
                connections.changed.notified().await;
            }
            connections.admit(stream, peer.ip().to_canonical(), router.clone());
        }
        if let Err(e) = accepted {
            log::debug!("admin accept failed error=\"{e}\"");
            tokio::time::sleep(ACCEPT_RETRY).await;
        }
    }
}

/// Waits for a new connection; also takes those that are waiting already.
async fn accept(
    listener: &tokio::net::TcpListener,
    new_connections: &mut VecDeque<(TcpStream, SocketAddr)>,
) -> io::Result<()> {
    new_connections.push_back(listener.accept().await?);
    while new_connections.len() < ACCEPT_BATCH {
        match poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
            Poll::Ready(connection) => new_connections.push_back(connection?),
            Poll::Pending => break,
        }
    }
    Ok(())
}

/// Answers the requests of one connection until it ends.
async fn serve_connection(stream: TcpStream, router: Router, connection: ClientConnection) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let router = TowerToHyperService::new(router);
    let slot = connection.slot.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let slot = connection.slot.clone();
        slot.begin_request(request.body().is_end_stream());
        request.extensions_mut().insert(connection.clone());
        let request = request.map(|body| RequestBody {
            body,
            slot: slot.clone(),
        });
        let answer = router.call(request);
        async move {
            // Dropping this marks the request as finished, whether the answer was made or not.
            let mut response_body = ResponseBody {
                body: Body::empty(),
                slot,
            };
            answer.await.map(|answer: Response| {
                answer.map(|body| {
                    response_body.body = body;
                    response_body
                })
            })
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let (mut served, mut first) = (pin!(served), pin!(tokio::time::sleep(FIRST_HEAD_TIMEOUT)));
    let mut final_poll = None;
    let ended = poll_fn(|cx| {
        if let Poll::Ready(served) = served.as_mut().poll(cx) {
            return Poll::Ready(served.map_err(|e| e.to_string()));
        }
        // After the first request, hyper enforces the deadlines of further heads.
        if !slot.has_requested() && first.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err("no request in time".to_owned()));
        }
        if !slot.is_evicted(cx) {
            final_poll = None;
            return Poll::Pending;
        }
        // The runtime polls all sockets before this future is ready. So everything that has arrived
        // by now is read above, before the connection is closed: it may be a request that proves
        // it.
        let final_poll = final_poll.get_or_insert_with(|| Box::pin(tokio::task::yield_now()));
        final_poll
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
pub(super) struct ClientConnection {
    slot: Arc<ConnectionSlot>,
    /// The peer's address; IPv4-mapped addresses are converted to IPv4.
    pub(super) peer: IpAddr,
}

impl ClientConnection {
    /// Records that the request has the token: the connection is proven from now on.
    pub(super) fn mark_token_valid(&self) {
        self.slot.prove();
    }

    /// Records that the request is allowed and that no token is set: the connection is proven once
    /// the request is complete.
    pub(super) fn mark_allowed(&self) {
        self.slot.prove_when_complete();
    }
}

/// The body of a request, which records when it has arrived completely.
struct RequestBody {
    body: Incoming,
    slot: Arc<ConnectionSlot>,
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.slot.complete_body();
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
struct ResponseBody {
    body: Body,
    slot: Arc<ConnectionSlot>,
}

impl hyper::body::Body for ResponseBody {
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

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.slot.finish_request();
    }
}

/// The connections that are served.
#[derive(Default)]
struct AdminConnections {
    table: Mutex<ConnectionTable>,
    /// Notified when a connection has ended, or when one that was chosen to make room stays.
    changed: Notify,
}

/// The open connections, by number.
#[derive(Default)]
struct ConnectionTable {
    by_number: BTreeMap<u64, ConnectionEntry>,
    /// A counter that numbers events: the event with the lower number was earlier.
    events: u64,
}

/// A connection of the admin listener, and the facts that decide whether it must make room for
/// another.
struct ConnectionEntry {
    /// Whether the connection is proven: it has sent a valid token or, where no token is set, a
    /// complete request that is allowed.
    is_proven: bool,
    has_requested: bool,
    /// Whether the current request is allowed and proves the connection once it is complete.
    proves_when_complete: bool,
    is_complete: bool,
    /// Whether a request of the connection is being answered.
    is_busy: bool,
    /// When it was accepted, or when its last request arrived or was answered; a number of
    /// `ConnectionTable::events`.
    last_event: u64,
    /// Whether the connection must make room for another, once the input that has arrived is read.
    is_evicted: bool,
    /// The waker of the connection's task.
    waker: Option<Waker>,
}

impl ConnectionTable {
    fn next_event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    fn proven(&self) -> usize {
        let proven = self.by_number.values().filter(|entry| entry.is_proven);
        proven.filter(|entry| !entry.is_evicted).count()
    }

    /// Chooses a connection that makes room, among those for which `may` is true: the one without
    /// an event for longest. A connection in the middle of an answer is not spared, because a
    /// client could keep its place by reading slowly. Returns whether there was one.
    fn evict(&mut self, may: impl Fn(&ConnectionEntry) -> bool) -> bool {
        let those = self.by_number.values_mut();
        let those = those.filter(|entry| !entry.is_evicted && may(entry));
        let Some(entry) = those.min_by_key(|entry| entry.last_event) else {
            return false;
        };
        entry.is_evicted = true;
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
        true
    }

    /// Closes the proven connections that have been idle for longest, until `KEPT_FREE`
    /// slots are free again.
    fn keep_slots_free(&mut self) {
        while self.proven() > CONNECTIONS_MAX - KEPT_FREE
            && self.evict(|entry| entry.is_proven && !entry.is_busy)
        {}
    }
}

impl AdminConnections {
    /// Returns whether there is room for a new connection, which is unproven. If there is none,
    /// chooses as many unproven connections as are waiting to make room. So clients without the
    /// token never keep out one that has it. `changed` tells when to call again.
    fn make_room(&self, waiting: usize) -> bool {
        let mut table = lock(&self.table);
        let all = table.by_number.len();
        let proven = table
            .by_number
            .values()
            .filter(|entry| entry.is_proven)
            .count();
        if all < CONNECTIONS_MAX && all - proven < CONNECTIONS_MAX - RESERVED_FOR_PROVEN {
            return true;
        }
        // No more than needed, because each may still prove itself.
        let evicted = table.by_number.values().filter(|entry| entry.is_evicted);
        for _ in evicted.count()..waiting {
            table.evict(|entry| !entry.is_proven);
        }
        false
    }

    /// Adds a connection, and serves it in a task of its own.
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: IpAddr, router: Router) {
        let mut table = lock(&self.table);
        let number = table.next_event();
        let entry = ConnectionEntry {
            is_proven: false,
            has_requested: false,
            proves_when_complete: false,
            is_complete: false,
            is_busy: false,
            last_event: number,
            is_evicted: false,
            waker: None,
        };
        table.by_number.insert(number, entry);
        drop(table);
        let slot = Arc::new(ConnectionSlot {
            connections: self.clone(),
            number,
        });
        tokio::spawn(serve_connection(
            stream,
            router,
            ClientConnection { slot, peer },
        ));
    }
}

/// The slot of one connection; dropping it frees the slot.
struct ConnectionSlot {
    connections: Arc<AdminConnections>,
    number: u64,
}

impl ConnectionSlot {
    /// Records a new request: its head has arrived, and its body, too, if `is_complete`.
    fn begin_request(&self, is_complete: bool) {
        let mut table = lock(&self.connections.table);
        let event = table.next_event();
        if let Some(entry) = table.by_number.get_mut(&self.number) {
            (entry.has_requested, entry.is_busy, entry.last_event) = (true, true, event);
            (entry.is_complete, entry.proves_when_complete) = (is_complete, false);
            if entry.is_proven {
                entry.is_evicted = false;
            }
        }
        self.connections.changed.notify_one();
    }

    fn prove(&self) {
        let mut table = lock(&self.connections.table);
        if let Some(entry) = table.by_number.get_mut(&self.number) {
            (entry.is_proven, entry.is_evicted) = (true, false);
        }
        table.keep_slots_free();
        self.connections.changed.notify_one();
    }

    /// Without a token: marks the connection proven once the body is complete. Until then it is
    /// unproven, even if it was proven before.
    fn prove_when_complete(&self) {
        let mut table = lock(&self.connections.table);
        let Some(entry) = table.by_number.get_mut(&self.number) else {
            return;
        };
        if !entry.is_complete {
            (entry.proves_when_complete, entry.is_proven) = (true, false);
            return;
        }
        drop(table);
        self.prove();
    }

    /// Records that the request's body is complete.
    fn complete_body(&self) {
        let mut table = lock(&self.connections.table);
        let Some(entry) = table.by_number.get_mut(&self.number) else {
            return;
        };
        entry.is_complete = true;
        if std::mem::take(&mut entry.proves_when_complete) {
            drop(table);
            self.prove();
        }
    }

    /// Records that the request was answered.
    fn finish_request(&self) {
        let mut table = lock(&self.connections.table);
        let event = table.next_event();
        if let Some(entry) = table.by_number.get_mut(&self.number) {
            (entry.is_busy, entry.last_event) = (false, event);
        }
        table.keep_slots_free();
        self.connections.changed.notify_one();
    }

    fn has_requested(&self) -> bool {
        let table = lock(&self.connections.table);
        let entry = table.by_number.get(&self.number);
        entry.is_some_and(|entry| entry.has_requested)
    }

    /// Returns whether the connection must make room; if not, its task is woken when that changes.
    fn is_evicted(&self, cx: &Context<'_>) -> bool {
        let mut table = lock(&self.connections.table);
        let Some(entry) = table.by_number.get_mut(&self.number) else {
            return true;
        };
        entry.waker = Some(cx.waker().clone());
        entry.is_evicted
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        lock(&self.connections.table).by_number.remove(&self.number);
        self.connections.changed.notify_one();
    }
}
