//! One client's connection: from the loop, through its requests, to its end or back to the loop.

use super::client_state::{ClientState, Stop};
use super::client_stream::ClientStream;
use super::drain_plan::DrainPlan;
use super::http_context::HttpContext;
use super::linger;
use super::request_limits::EndedRequest;
use super::request_service::RequestService;
use crate::engine::{HandedOver, Reply};
use crate::reactor::HandedOverSocket;
use crate::wire::http::{ReplyForm, RequestReader};
use hyper::server::conn::http1::{Builder, Connection};
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

/// The most header fields of a request.
const FIELDS_MAX: usize = 128;

/// hyper's buffer for each direction of a connection, in bytes.
const BUFFER_MAX: usize = 64 * 1024;

/// The pauses between tries to give a connection back to a loop that is behind, and their number.
const RETURN_PAUSE: Duration = Duration::from_millis(50);
const RETURN_TRIES: usize = 100;

/// How long a connection without a request is kept while there is no place for another connection.
const KEEP_ALIVE_FULL: Duration = Duration::from_secs(1);

/// How a connection's time with hyper has ended.
enum End {
    /// hyper has served the last request, or the client has left.
    Served,
    /// The next request is not for hyper.
    Stopped(Stop),
    /// No complete head has come in time.
    LateHead,
    /// No byte has come or gone in time.
    Idle,
    /// The request in progress was ended early.
    Ended(EndedRequest),
    /// The end of a drain has passed.
    Cut,
}

/// A connection while hyper serves it.
struct Serving {
    conn: Connection<TokioIo<ClientStream>, RequestService>,
    context: Arc<HttpContext>,
    state: Arc<ClientState>,
    sleep: Pin<Box<Sleep>>,
    drain: Drain,
    /// Whether there is a place for another connection has changed.
    pressure: Change<bool>,
}

/// The next change of a value.
type Change<T> = Pin<Box<dyn Future<Output = watch::Receiver<T>> + Send>>;

/// Waits for the next change of a value.
fn change<T: Send + Sync + 'static>(mut receiver: watch::Receiver<T>) -> Change<T> {
    Box::pin(async move {
        if receiver.changed().await.is_err() {
            // The process ends.
            std::future::pending::<()>().await;
        }
        receiver
    })
}

/// The drain as one connection sees it.
struct Drain {
    plan: Option<DrainPlan>,
    changed: Change<Option<DrainPlan>>,
    /// The connection's turn in the spread, from 0 to 1.
    part: f64,
    is_closing: bool,
}

/// Serves a connection until its end, or until the loop takes it back.
pub(super) async fn serve(socket: HandedOverSocket, context: Arc<HttpContext>) {
    let HandedOverSocket { stream, mut conn } = socket;
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(e) => return log::warn!("http_connection outcome=dropped error=\"{e}\""),
    };
    let settings = context.settings();
    let reader = RequestReader::new(settings.head_max, conn.peer_addr, conn.is_encrypted);
    let state = ClientState::new();
    let unread = std::mem::take(&mut conn.bytes);
    let stream = ClientStream::new(stream, unread, reader, state.clone());
    let service = RequestService {
        id: conn.id,
        context: context.clone(),
        state: state.clone(),
    };
    let served = Builder::new()
        .preserve_header_case(true)
        .title_case_headers(true)
        .max_headers(FIELDS_MAX)
        .max_buf_size(BUFFER_MAX.max(2 * settings.head_max))
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    let drain = context.drain.watch();
    let mut serving = Serving {
        conn: served,
        drain: Drain::new(drain),
        pressure: change(context.pressure.subscribe()),
        sleep: Box::pin(tokio::time::sleep(settings.keep_alive)),
        context: context.clone(),
        state,
    };
    let end = std::future::poll_fn(|cx| serving.poll(cx)).await;
    let parts = serving.conn.into_parts();
    // The service holds requests that are given up.
    drop(parts.service);
    let (stream, mut unread) = parts.io.into_inner().into_parts();
    match end {
        End::Stopped(Stop::ForLoop) => {
            unread.splice(0..0, parts.read_buf);
            give_back(stream, conn, unread, &context).await;
        }
        End::Stopped(Stop::Refused(reply, form)) => {
            context.stats.count("", reply.status);
            linger::close(stream, &reply.render(form), &context).await;
        }
        End::LateHead => {
            let limit = settings.head_timeout.as_millis();
            let reply = Reply::error(408, &format!("no complete request within {limit} ms"));
            context.stats.count("", reply.status);
            linger::close(stream, &reply.render(ReplyForm::Whole), &context).await;
        }
        End::Served | End::Idle => linger::close(stream, &[], &context).await,
        End::Ended(ended) => {
            context.stats.count_ended(ended.cause);
            // An answer that has begun is cut off.
            let Some(form) = ended.form else { return };
            let reply = ended.cause.reply();
            context.stats.count(&ended.route, reply.status);
            linger::close(stream, &reply.render(form), &context).await;
        }
        End::Cut => {}
    }
}

impl Serving {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.poll_drain(cx);
        while let Poll::Ready(receiver) = self.pressure.as_mut().poll(cx) {
            self.pressure = change(receiver);
        }
        let is_over = Pin::new(&mut self.conn).poll(cx).is_ready();
        if let Some(stop) = self.state.take_stop() {
            return Poll::Ready(End::Stopped(stop));
        }
        if is_over {
            return Poll::Ready(End::Served);
        }
        if let Some(ended) = self.state.poll_end(cx) {
            return Poll::Ready(End::Ended(ended));
        }
        loop {
            let now = Instant::now();
            let settings = self.context.settings();
            let keep_alive = match self.context.is_full() {
                true => settings.keep_alive.min(KEEP_ALIVE_FULL),
                false => settings.keep_alive,
            };
            let due = self.state.due(&settings, keep_alive);
            if due.is_some_and(|due| due <= now) {
                return Poll::Ready(match self.state.is_in_head() {
                    true => End::LateHead,
                    false => End::Idle,
                });
            }
            let cut = self.drain.plan.map(|plan| plan.cut_at());
            if cut.is_some_and(|cut| cut <= now) {
                return Poll::Ready(End::Cut);
            }
            let close = self.drain.close_at(self.state.is_idle());
            if close.is_some_and(|close| close <= now) {
                self.drain.is_closing = true;
                Pin::new(&mut self.conn).graceful_shutdown();
                if Pin::new(&mut self.conn).poll(cx).is_ready() {
                    return Poll::Ready(End::Served);
                }
                continue;
            }
            let expiry = self.state.expiry();
            let Some(next) = [due, cut, close, expiry].into_iter().flatten().min() else {
                return Poll::Pending;
            };
            if self.sleep.deadline() != next {
                self.sleep.as_mut().reset(next);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if let Some(ended) = self.state.poll_end(cx) {
                return Poll::Ready(End::Ended(ended));
            }
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(receiver) = self.drain.changed.as_mut().poll(cx) {
            self.drain.plan = *receiver.borrow();
            self.drain.changed = change(receiver);
        }
    }
}

impl Drain {
    fn new(mut receiver: watch::Receiver<Option<DrainPlan>>) -> Self {
        let plan = *receiver.borrow_and_update();
        Drain {
            plan,
            changed: change(receiver),
            part: fastrand::f64(),
            is_closing: false,
        }
    }

    /// Returns when the connection begins to close, unless it has begun.
    fn close_at(&self, is_idle: bool) -> Option<Instant> {
        let plan = self.plan.filter(|_| !self.is_closing)?;
        Some(match is_idle {
            true => plan.close_at(self.part),
            false => plan.last_answer_at(),
        })
    }
}

/// Gives a connection back to the loop.
async fn give_back(stream: TcpStream, conn: HandedOver, bytes: Vec<u8>, context: &HttpContext) {
    let stream = match stream.into_std() {
        Ok(stream) => stream,
        Err(e) => return log::warn!("http_connection outcome=dropped error=\"{e}\""),
    };
    let conn = HandedOver { bytes, ..conn };
    let mut waiting = HandedOverSocket { stream, conn };
    for _ in 0..RETURN_TRIES {
        match context.returns.send(waiting) {
            Ok(()) => return,
            Err(refused) => waiting = refused.0,
        }
        tokio::time::sleep(RETURN_PAUSE).await;
    }
    log::warn!("http_connection outcome=dropped reason=\"the loop takes no connection back\"");
}
