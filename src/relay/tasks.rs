//! Runs the relay's long work in slices; `TaskQueue` is its queue.

use super::relay::Relay;
use super::session::{AppEvent, AppSlot, WakeAction, adjust_charge, scan_units};
use super::tables::{EndedSession, RelayTask};
use crate::base::id::ConnId;
use crate::engine::Io;
use crate::host::Identity;
use crate::relay::role::PeerRole;

/// The work units of one slice of a task. The call that begins the task runs its first slice.
const SLICE: u32 = 250;

/// The work units for each app that a task sends something to, or asks the server of, in addition
/// to what the engine counts.
const APP_UNITS: u32 = 6;

impl Relay {
    /// Runs the first slice of a task (work that takes several turns of the loop), and queues the
    /// rest.
    pub(super) fn start_task(&mut self, io: &mut Io<'_>, task: RelayTask) {
        let mut left = SLICE;
        if let Some(rest) = self.run_slice(io, task, &mut left) {
            self.task_queue.tasks.push_back(rest);
        }
        io.spend(SLICE - left);
        self.task_queue.arm(io);
    }

    /// Queues a task for a later turn.
    pub(super) fn queue_task(&mut self, io: &mut Io<'_>, task: RelayTask) {
        self.task_queue.tasks.push_back(task);
        self.task_queue.arm(io);
    }

    /// Runs slices of the queued tasks.
    pub(super) fn run_tasks(&mut self, io: &mut Io<'_>) {
        let mut left = SLICE;
        while left > 0
            && let Some(task) = self.task_queue.tasks.pop_front()
        {
            if let Some(rest) = self.run_slice(io, task, &mut left) {
                // Other tasks run in between.
                self.task_queue.tasks.push_back(rest);
            }
        }
        io.spend(SLICE - left);
        self.task_queue.arm(io);
    }

    /// Runs one slice of a task. Returns the rest, if any.
    fn run_slice(&mut self, io: &mut Io<'_>, task: RelayTask, left: &mut u32) -> Option<RelayTask> {
        match task {
            RelayTask::Replay(id, identity) => self.replay_slice(io, id, identity, left),
            RelayTask::WakeApps(user) => self.wake_slice(io, user, left),
            RelayTask::FanOut(user) => {
                // The engine counts deliveries; one call uses up the whole slice.
                spend(left, SLICE);
                self.step_orphans(io, user)
            }
            RelayTask::EndSession(user, ended) => self.end_slice(io, user, ended, left),
        }
    }

    fn replay_slice(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: Identity,
        left: &mut u32,
    ) -> Option<RelayTask> {
        // The engine counts what is sent.
        spend(left, SLICE);
        let (mut delivery, sessions) = self.delivery();
        let backlog = sessions.backlog_of(&identity, id)?;
        let more = delivery.replay(io, backlog, id).has_more;
        more.then_some(RelayTask::Replay(id, identity))
    }

    fn wake_slice(&mut self, io: &mut Io<'_>, user: Box<str>, left: &mut u32) -> Option<RelayTask> {
        loop {
            let session = self.sessions.get(&user)?;
            // The glasses may be lost again, or another process asks for the apps.
            session.glasses().conn()?;
            spend(left, scan_units(session.apps.len()));
            let mut apps = session.apps.iter().map(|app| &**app);
            let wake = |app: &AppSlot| {
                app.wake_action()
                    .map(|action| (app.package.clone(), action))
            };
            let (package, action) = apps.find_map(wake)?;
            if *left == 0 {
                return Some(RelayTask::WakeApps(user));
            }
            spend(left, APP_UNITS);
            let identity = PeerRole::App(&package).identity(&user.clone());
            match action {
                WakeAction::Acknowledge => {
                    let actions = self.app_on(io, &user, &package, AppEvent::GlassesConnected);
                    self.run_actions(io, &identity, actions);
                }
                WakeAction::AskServer => self.ask_server(io, &identity, &package, true),
            }
        }
    }

    fn end_slice(
        &mut self,
        io: &mut Io<'_>,
        user: Box<str>,
        mut ended: EndedSession,
        left: &mut u32,
    ) -> Option<RelayTask> {
        if !ended.fan_outs.is_empty() {
            let before = ended.fan_outs.charged();
            let is_built = ended.fan_outs.build(&user);
            adjust_charge(io, before, ended.fan_outs.charged());
            if !is_built {
                spend(left, SLICE);
                return Some(RelayTask::EndSession(user, ended));
            }
        }
        let each = APP_UNITS + 2 * ended.fan_outs.len() as u32;
        while *left > 0
            && let Some(mut app) = ended.apps.pop()
        {
            spend(left, each);
            let (mut delivery, _) = self.delivery();
            ended
                .fan_outs
                .deliver_last(&mut delivery, io, &user, &mut app);
            self.end_app(io, &user, *app);
        }
        if ended.apps.is_empty() {
            io.release(ended.fan_outs.charged());
            self.stats.unrouted += ended.fan_outs.unrouted();
            return None;
        }
        Some(RelayTask::EndSession(user, ended))
    }
}

fn spend(left: &mut u32, units: u32) {
    *left = left.saturating_sub(units);
}
