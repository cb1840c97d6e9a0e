//! A connection to an upstream that serves one request after the other.

use super::request_body::RequestBody;
use crate::engine::DialAddress;
use crate::reactor::{begin_connect, has_peer};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// The most header fields of an answer.
const FIELDS_MAX: usize = 128;

/// The time until connecting to a Unix socket is tried again whose queue is full.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// hyper's buffer for each direction of a connection, in bytes.
const BUFFER_MAX: usize = 64 * 1024;

/// Why a request was not answered.
#[derive(Debug)]
pub(super) struct SendFailure {
    /// The request, if no byte of it was sent.
    pub(super) unsent: Option<Request<RequestBody>>,
    /// Whether no byte of an answer came.
    pub(super) is_unanswered: bool,
    pub(super) why: hyper::Error,
}

/// A connection to an upstream. It ends when this is dropped, even if the upstream reads nothing.
#[derive(Debug)]
pub(super) struct UpstreamConn {
    sender: SendRequest<RequestBody>,
    traffic: Arc<ByteCounts>,
    task: ConnTask,
}

/// How many bytes have passed on a connection.
#[derive(Debug, Default)]
struct ByteCounts {
    received: AtomicU64,
    sent: AtomicU64,
}

/// The task of a connection. It ends when this is dropped.
#[derive(Debug)]
struct ConnTask(JoinHandle<()>);

impl Drop for ConnTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl UpstreamConn {
    /// Connects to an upstream.
    ///
    /// # Errors
    /// The system's error, or that it took longer than `patience`.
    pub(super) async fn connect(
        address: &DialAddress,
        patience: Duration,
        head_max: usize,
    ) -> io::Result<Self> {
        let stream = tokio::time::timeout(patience, connect(address)).await;
        let stream = stream.map_err(|_| {
            let why = format!("not connected within {} ms", patience.as_millis());
            io::Error::new(ErrorKind::TimedOut, why)
        })??;
        let traffic: Arc<ByteCounts> = Arc::default();
        let counted = CountedStream {
            stream,
            traffic: traffic.clone(),
        };
        let (sender, conn) = Builder::new()
            .preserve_header_case(true)
            .title_case_headers(true)
            .max_headers(FIELDS_MAX)
            .max_header_size(head_max)
            .max_buf_size(BUFFER_MAX)
            .handshake(TokioIo::new(counted))
            .await
            .map_err(io::Error::other)?;
        let task = tokio::spawn(async move {
            // A request in progress is told why it failed.
            let _ = conn.await;
        });
        Ok(UpstreamConn {
            sender,
            traffic,
            task: ConnTask(task),
        })
    }

    /// Sends a request, and returns the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, SendFailure> {
        let received = || self.traffic.received.load(Ordering::Relaxed);
        let before = received();
        let sent = self.sender.try_send_request(request).await;
        sent.map_err(|mut failure| SendFailure {
            unsent: failure.take_message(),
            is_unanswered: received() == before,
            why: failure.into_error(),
        })
    }

    /// Waits until the last answer is complete. Returns whether the connection serves another
    /// request.
    pub(super) async fn is_reusable(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Ends a connection whose last answer is complete, behind what is left of its request. It is
    /// given up when no byte was sent for `idle`.
    pub(super) async fn finish(self, idle: Duration) {
        let UpstreamConn {
            sender,
            traffic,
            mut task,
        } = self;
        drop(sender);
        loop {
            let before = traffic.sent.load(Ordering::Relaxed);
            let ended = tokio::time::timeout(idle, &mut task.0).await;
            if ended.is_ok() || traffic.sent.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    /// Returns whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Connects to an upstream. tokio and mio treat a Unix socket like one of TCP.
async fn connect(address: &DialAddress) -> io::Result<TcpStream> {
    loop {
        let stream = match begin_connect(address) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                tokio::time::sleep(BUSY_PAUSE).await;
                continue;
            }
            stream => TcpStream::from_std(stream?)?,
        };
        loop {
            stream.writable().await?;
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            if has_peer(&stream)? {
                return Ok(stream);
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Counts the bytes that pass on a stream.
#[derive(Debug)]
struct CountedStream {
    stream: TcpStream,
    traffic: Arc<ByteCounts>,
}

impl CountedStream {
    fn count_sent(&self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(len)) = &sent {
            self.traffic.sent.fetch_add(*len as u64, Ordering::Relaxed);
        }
        sent
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let received = (buf.filled().len() - before) as u64;
        this.traffic.received.fetch_add(received, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.count_sent(sent)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.count_sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
