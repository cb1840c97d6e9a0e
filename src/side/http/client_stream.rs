//! The stream of a client as hyper sees it: it ends at the first request that hyper must not see.

use super::client_state::{BodyRest, ClientState, Stop};
use crate::wire::http::{HeadStep, RequestReader};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How many bytes are read at once while a head is awaited.
const HEAD_READ: usize = 8 * 1024;

/// How many bytes behind the present request are read before it is answered.
const AHEAD_MAX: usize = 8 * 1024;

/// The stream of a client. Reads return whole heads that were checked, and the bodies behind them.
#[derive(Debug)]
pub(super) struct ClientStream {
    stream: TcpStream,
    /// What was read and not passed on.
    unread: Vec<u8>,
    /// How many of these bytes belong to a head that was checked.
    checked: usize,
    reader: RequestReader,
    state: Arc<ClientState>,
    is_stopped: bool,
}

impl ClientStream {
    /// Wraps a stream of which these bytes were read already.
    pub(super) fn new(
        stream: TcpStream,
        unread: Vec<u8>,
        reader: RequestReader,
        state: Arc<ClientState>,
    ) -> Self {
        ClientStream {
            stream,
            unread,
            checked: 0,
            reader,
            state,
            is_stopped: false,
        }
    }

    /// Returns the stream, and what was read and not passed on.
    pub(super) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.unread)
    }

    /// Passes on the first bytes of those that were read.
    fn pass(&mut self, len: usize, buf: &mut ReadBuf<'_>) {
        buf.put_slice(&self.unread[..len]);
        self.unread.drain(..len);
        if self.unread.is_empty() {
            // An idle connection keeps no buffer.
            self.unread = Vec::new();
        }
    }

    /// Checks the head at the front of the unread bytes. Returns whether it may be passed on.
    fn check_head(&mut self) -> bool {
        match self.reader.read_head(&self.unread) {
            HeadStep::Partial => {
                self.state.begin_head();
                false
            }
            HeadStep::Complete(request, _) if request.is_upgrade() => self.stop(Stop::ForLoop),
            HeadStep::Complete(request, len) => {
                self.reader.begin(&request);
                let near = self.unread.len().min(len + HEAD_READ);
                let body = match self.reader.is_at_head() {
                    true => BodyRest::Nothing,
                    // hyper reads no more than this of a body that is not asked for.
                    false if self.reader.body_is_in(&self.unread[len..near]) => BodyRest::Unread,
                    false => BodyRest::Unsent,
                };
                self.state.begin_request(request, body);
                self.checked = len;
                true
            }
            HeadStep::Refused(reply, form) => self.stop(Stop::Refused(reply, form)),
        }
    }

    fn stop(&mut self, why: Stop) -> bool {
        self.is_stopped = true;
        self.state.stop(why);
        false
    }

    /// Returns how many of these bytes belong to the body.
    fn body_len(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.reader.read_body(bytes).map_err(|fault| {
            self.state.fail_body(fault.to_string());
            io::Error::new(ErrorKind::InvalidData, fault)
        })?;
        if self.reader.is_at_head() {
            self.state.end_body();
        }
        Ok(len)
    }

    /// Reads bytes of a body from the socket. Those behind the body are kept.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.state.note_read();
            let len = self.body_len(&buf.filled()[before..])?;
            self.unread = buf.filled()[before + len..].to_vec();
            buf.set_filled(before + len);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads bytes of a head from the socket. Returns whether there were any; there are none at the
    /// end of the stream.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut chunk = [0; HEAD_READ];
        let mut chunk = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
        if chunk.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        self.state.note_read();
        self.unread.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(true))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.is_stopped {
                // The task of the connection takes the stream back.
                return Poll::Pending;
            }
            let room = this.unread.len().min(buf.remaining());
            if this.checked > 0 {
                let len = this.checked.min(room);
                this.checked -= len;
                this.pass(len, buf);
                return Poll::Ready(Ok(()));
            }
            if !this.reader.is_at_head() {
                if this.unread.is_empty() {
                    return this.poll_body(cx, buf);
                }
                let bytes = std::mem::take(&mut this.unread);
                let len = this.body_len(&bytes[..room]);
                this.unread = bytes;
                this.pass(len?, buf);
                return Poll::Ready(Ok(()));
            }
            let is_busy = this.state.is_busy(cx.waker());
            if is_busy && this.unread.len() >= AHEAD_MAX {
                return Poll::Pending;
            }
            if !is_busy && !this.unread.is_empty() && this.check_head() {
                continue;
            }
            // While a request is in progress this notices that the client leaves.
            if !this.is_stopped && !ready!(this.poll_head(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.note_written(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper calls this when its own buffer is empty.
        this.state.note_flush();
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper has flushed everything. The task of the connection closes the stream.
        Poll::Ready(Ok(()))
    }
}

impl ClientStream {
    fn note_written(&self, written: &Poll<io::Result<usize>>) {
        let taken = match written {
            Poll::Ready(Ok(taken)) => *taken,
            _ => 0,
        };
        self.state.note_write(taken);
    }
}
