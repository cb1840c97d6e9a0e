//! A reactor on a thread of its own.

use super::PATIENCE;
use pulsegate::engine::Stats;
use pulsegate::{Handler, Reactor, Remote};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

/// A running reactor; stopped when dropped.
pub struct LoopThread {
    pub addr: SocketAddr,
    pub remote: Remote,
    result: Mutex<Receiver<(std::io::Result<()>, Stats)>>,
}

impl LoopThread {
    /// Runs the reactor that `create` returns. It is called on the new thread, because not every
    /// handler can be sent to another one.
    #[track_caller]
    pub fn spawn<H: Handler>(create: impl FnOnce() -> Reactor<H> + Send + 'static) -> LoopThread {
        let (starting, started) = channel();
        let (finished, result) = channel();
        std::thread::Builder::new()
            .name("loop".to_owned())
            .spawn(move || {
                let mut reactor = create();
                let _ = starting.send((reactor.local_addr(), reactor.remote()));
                let ran = reactor.run();
                let stats = reactor.engine().stats().clone();
                drop(reactor);
                let _ = finished.send((ran, stats));
            })
            .expect("a thread");
        let (addr, remote) = started.recv_timeout(PATIENCE).expect("a reactor");
        LoopThread {
            addr,
            remote,
            result: Mutex::new(result),
        }
    }

    /// Waits for the end of the loop, which was requested before.
    #[track_caller]
    pub fn wait_for_end(&self) -> Stats {
        let result = self.result.lock().expect("waited for by one");
        let (ran, stats) = result
            .recv_timeout(PATIENCE)
            .expect("the loop ends, and without a panic");
        ran.expect("the loop ends well");
        stats
    }

    /// Stops the loop and waits for its end.
    #[track_caller]
    pub fn stop(&self) -> Stats {
        self.remote.stop();
        self.wait_for_end()
    }
}

impl Drop for LoopThread {
    fn drop(&mut self) {
        self.remote.stop();
    }
}
