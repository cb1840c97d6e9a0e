//! Delivery of one frame of the glasses to many apps in steps, so that no step delays other users,
//! however many apps there are.

use super::app_slot::AppSlot;
use super::costs::scan_units;
use super::frame_delivery::{FrameDelivery, RelayFrame};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::engine::{Io, Message};
use crate::relay::protocol;
use crate::relay::role::APP;
use std::borrow::Cow;
use std::collections::VecDeque;

/// The most that one step of a delivery may cost: 48 deliveries, or as many checks of apps that do
/// not want the frame as cost the same.
const STEP_COST: usize = 48 * DELIVERY_COST;

/// The most bytes of a text that one step copies into its envelope. The next constant is the cost
/// of such a step in work units.
const BUILD_STEP_BYTES: usize = 128 * 1024;
const BUILD_STEP_UNITS: u32 = 32;

/// The cost of one delivery to an app. The unit is the check of an app that does not want the
/// frame.
const DELIVERY_COST: usize = 4;

/// A frame of the glasses that is being delivered to the apps that subscribed, in the order of
/// their packages.
#[derive(Debug)]
pub(in crate::relay) struct FanOut<'a> {
    stream: Cow<'a, str>,
    content: Content,
    /// Whether the frame is kept for absent apps.
    is_kept: bool,
    /// The package of the last app that was looked at.
    after: Option<Box<str>>,
    /// Whether any app so far has subscribed to the frame.
    is_reached: bool,
    /// The connection that sent the frame.
    from: ConnId,
    /// Whether that connection has ended: it no longer holds the frame's memory, so the relay is
    /// charged with it.
    is_orphan: bool,
}

#[derive(Debug)]
enum Content {
    /// The frame as it was received.
    Received(Message),
    /// The received text, and the output built so far from its bytes before `from`.
    Building {
        text: Message,
        built: String,
        from: usize,
    },
    /// The complete output; `None`: the frame is neither text nor binary.
    Built(Option<RelayFrame>),
}

impl<'a> FanOut<'a> {
    /// Makes a delivery that has reached no app yet.
    pub(in crate::relay) fn new(
        from: ConnId,
        message: Message,
        stream: &'a str,
        is_kept: bool,
    ) -> Self {
        FanOut {
            stream: Cow::Borrowed(stream),
            content: Content::Received(message),
            is_kept,
            after: None,
            is_reached: false,
            from,
            is_orphan: false,
        }
    }

    /// Makes a delivery of a message that the gateway itself has for the apps. It is kept for
    /// absent apps, and does not count as unrouted if no app wants it.
    pub(in crate::relay) fn notice(from: ConnId, message: Message, stream: &'a str) -> Self {
        FanOut {
            is_reached: true,
            ..FanOut::new(from, message, stream, true)
        }
    }

    pub(in crate::relay) fn into_owned(self) -> FanOut<'static> {
        FanOut {
            stream: Cow::Owned(self.stream.into_owned()),
            ..self
        }
    }

    /// Returns the bytes of memory that are counted for the relay.
    pub(in crate::relay) fn charged(&self) -> usize {
        if self.is_orphan { self.allocated() } else { 0 }
    }

    /// Returns the bytes of memory that the frame takes while it waits.
    pub(in crate::relay) fn allocated(&self) -> usize {
        let names = self.stream.len() + self.after.as_ref().map_or(0, |after| after.len());
        let content = match &self.content {
            Content::Received(message) => message.len(),
            Content::Building { text, built, .. } => text.len() + built.capacity(),
            Content::Built(frame) => frame.as_ref().map_or(0, RelayFrame::wire_len),
        };
        size_of::<Self>() + names + content
    }

    /// Delivers the frame to the next apps of its session. Returns whether it has passed the last
    /// app.
    pub(in crate::relay) fn step(
        &mut self,
        delivery: &mut FrameDelivery<'_>,
        io: &mut Io<'_>,
        user: &str,
        apps: &mut [Box<AppSlot>],
    ) -> bool {
        let from = match &self.after {
            None => 0,
            Some(package) => match AppSlot::position(apps, package) {
                Ok(at) if sabotage::on(Bug::FanOutRepeats) => at,
                Ok(at) if sabotage::on(Bug::FanOutSkips) => (at + 2).min(apps.len()),
                Ok(at) => at + 1,
                Err(at) => at,
            },
        };
        let mut spent = 0;
        let mut looked_at = 0;
        for app in &mut apps[from..] {
            if spent >= STEP_COST {
                break;
            }
            if !app.wants(&self.stream) {
                spent += 1;
            } else if self.build(user) {
                self.deliver(delivery, io, app);
                spent += DELIVERY_COST;
            } else {
                // The next step looks at this app again.
                io.spend(BUILD_STEP_UNITS);
                break;
            }
            looked_at += 1;
        }
        io.spend(scan_units(looked_at));
        let next = from + looked_at;
        if next < apps.len() {
            self.after = apps[..next].last().map(|app| app.package.clone());
            return false;
        }
        delivery.stats.unrouted += u64::from(!self.is_reached);
        true
    }

    /// Builds the output, or more of it, when the first app wants it. Returns whether the output is
    /// complete.
    fn build(&mut self, user: &str) -> bool {
        if let Content::Received(message) = &self.content {
            self.content = match message {
                Message::Text(text) => Content::Building {
                    text: message.clone(),
                    built: protocol::data_stream(user, &self.stream, text.len() + 1),
                    from: 0,
                },
                audio => Content::Built(RelayFrame::new(audio.clone(), APP, self.is_kept)),
            };
        }
        if let Content::Building { text, built, from } = &mut self.content
            && let Message::Text(text) = text
        {
            let mut to = text.len().min(*from + BUILD_STEP_BYTES);
            while !text.is_char_boundary(to) {
                to -= 1;
            }
            built.push_str(&text[*from..to]);
            *from = to;
            if to < text.len() {
                return false;
            }
            built.push(protocol::DATA_END);
            let whole = Message::text(std::mem::take(built));
            self.content = Content::Built(RelayFrame::new(whole, APP, self.is_kept));
        }
        true
    }

    fn deliver(&mut self, delivery: &mut FrameDelivery<'_>, io: &mut Io<'_>, app: &mut AppSlot) {
        if let Content::Built(Some(frame)) = &self.content {
            self.is_reached |= delivery.deliver(io, app.destination(), frame);
        }
    }

    /// Delivers the frame to an app of an ended session, unless the app was already passed.
    fn deliver_last(
        &mut self,
        delivery: &mut FrameDelivery<'_>,
        io: &mut Io<'_>,
        user: &str,
        app: &mut AppSlot,
    ) {
        let is_past = self
            .after
            .as_ref()
            .is_some_and(|after| *after >= app.package);
        if !is_past && app.wants(&self.stream) && self.build(user) {
            self.deliver(delivery, io, app);
        }
    }
}

/// Frames of one session that are being delivered to its apps, in order.
#[derive(Debug, Default)]
pub(crate) struct FanOutQueue(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<FanOut<'static>>,
    /// Whether a task (work over several turns) delivers the frames, because the connection that
    /// sent them has ended.
    has_task: bool,
}

impl FanOutQueue {
    /// Returns whether no frame is being delivered.
    pub(in crate::relay) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.frames.is_empty())
    }

    /// Returns the bytes of memory that the relay is charged with: those of frames whose connection
    /// has ended.
    pub(in crate::relay) fn charged(&self) -> usize {
        self.allocated(|frame| frame.is_orphan)
    }

    /// Returns the bytes of memory that connections hold.
    pub(in crate::relay) fn held(&self) -> usize {
        self.allocated(|frame| !frame.is_orphan)
    }

    /// Returns the bytes of memory that this connection holds for its own frames.
    pub(in crate::relay) fn held_by(&self, id: ConnId) -> usize {
        self.allocated(|frame| !frame.is_orphan && frame.from == id)
    }

    /// Returns whether the connection of the next frame has ended. Frames of later connections come
    /// after it.
    pub(in crate::relay) fn has_orphan(&self) -> bool {
        let first = self.0.as_ref().and_then(|queue| queue.frames.front());
        first.is_some_and(|frame| frame.is_orphan)
    }

    pub(in crate::relay) fn allocated(&self, which: impl Fn(&FanOut<'_>) -> bool) -> usize {
        let queue = self.0.iter().flat_map(|queue| queue.frames.iter());
        queue
            .filter(|frame| which(frame))
            .map(FanOut::allocated)
            .sum()
    }

    /// Charges the relay with the frames of this connection, or with all frames if `None`: the
    /// connection no longer holds them.
    pub(in crate::relay) fn mark_orphaned(&mut self, io: &mut Io<'_>, from: Option<ConnId>) {
        let frames = self.0.iter_mut().flat_map(|queue| queue.frames.iter_mut());
        let theirs = frames.filter(|frame| from.is_none_or(|from| from == frame.from));
        for frame in theirs.filter(|frame| !frame.is_orphan) {
            frame.is_orphan = true;
            if !sabotage::on(Bug::OrphanUncharged) {
                io.charge(frame.allocated());
            }
        }
    }

    /// Drops the frames of this connection; returns how many there were.
    pub(in crate::relay) fn drop_from(&mut self, from: ConnId) -> u64 {
        let Some(queue) = &mut self.0 else {
            return 0;
        };
        let before = queue.frames.len();
        let stays = |frame: &FanOut<'_>| frame.is_orphan || frame.from != from;
        queue.frames.retain(stays);
        (before - queue.frames.len()) as u64
    }

    pub(in crate::relay) fn push(&mut self, fan_out: FanOut<'_>) {
        let queue = self.0.get_or_insert_default();
        queue.frames.push_back(fan_out.into_owned());
    }

    pub(in crate::relay) fn pop(&mut self) -> Option<FanOut<'static>> {
        self.0.as_mut()?.frames.pop_front()
    }

    pub(in crate::relay) fn push_front(&mut self, fan_out: FanOut<'static>) {
        self.0.get_or_insert_default().frames.push_front(fan_out);
    }

    /// Returns whether the caller must create a task that delivers the frames, because there is
    /// none.
    pub(in crate::relay) fn claim_task(&mut self) -> bool {
        let queue = self.0.as_mut().filter(|queue| !queue.frames.is_empty());
        queue.is_some_and(|queue| !std::mem::replace(&mut queue.has_task, true))
    }

    /// Records that the task is done.
    pub(in crate::relay) fn end_task(&mut self) {
        if let Some(queue) = &mut self.0 {
            queue.has_task = false;
        }
        self.tidy();
    }

    /// Frees an empty queue, unless a task still uses it.
    pub(in crate::relay) fn tidy(&mut self) {
        if self.is_empty() && self.0.as_ref().is_some_and(|queue| !queue.has_task) {
            self.0 = None;
        }
    }

    /// Returns the number of frames.
    pub(in crate::relay) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.frames.len())
    }

    /// Builds the first frame that is incomplete, or more of it. Returns whether all are complete.
    pub(in crate::relay) fn build(&mut self, user: &str) -> bool {
        let mut queue = self.0.iter_mut().flat_map(|queue| queue.frames.iter_mut());
        queue.all(|fan_out| fan_out.build(user))
    }

    /// Returns how many frames reached no app.
    pub(in crate::relay) fn unrouted(&self) -> u64 {
        let queue = self.0.iter().flat_map(|queue| queue.frames.iter());
        queue.filter(|fan_out| !fan_out.is_reached).count() as u64
    }

    /// Delivers the frames to an app of an ended session.
    pub(in crate::relay) fn deliver_last(
        &mut self,
        delivery: &mut FrameDelivery<'_>,
        io: &mut Io<'_>,
        user: &str,
        app: &mut AppSlot,
    ) {
        for fan_out in self.0.iter_mut().flat_map(|queue| queue.frames.iter_mut()) {
            fan_out.deliver_last(delivery, io, user, app);
        }
    }
}
