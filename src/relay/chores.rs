//! Runs the relay's long work in slices; `Chores` is its queue.

use super::relay::Relay;
use super::session::{App, AppEvent, Wakes, moved, units};
use super::tables::{Chore, Ended};
use crate::base::id::ConnId;
use crate::engine::Io;
use crate::host::Identity;
use crate::relay::role::Role;

/// The work units of one slice of a chore. The call that begins the chore runs its first slice.
const SLICE: u32 = 250;

/// The work units for each app that a chore sends something to, or asks the server of, in addition
/// to what the engine counts.
const PER_APP: u32 = 6;

impl Relay {
    /// Runs the first slice of a chore (work that takes several turns of the loop), and queues the
    /// rest.
    pub(super) fn begin(&mut self, io: &mut Io<'_>, chore: Chore) {
        let mut left = SLICE;
        if let Some(rest) = self.do_some(io, chore, &mut left) {
            self.chores.queue.push_back(rest);
        }
        io.spend(SLICE - left);
        self.chores.arm(io);
    }

    /// Queues a chore for a later turn.
    pub(super) fn put_off(&mut self, io: &mut Io<'_>, chore: Chore) {
        self.chores.queue.push_back(chore);
        self.chores.arm(io);
    }

    /// Runs slices of the queued chores.
    pub(super) fn do_chores(&mut self, io: &mut Io<'_>) {
        let mut left = SLICE;
        while left > 0
            && let Some(chore) = self.chores.queue.pop_front()
        {
            if let Some(rest) = self.do_some(io, chore, &mut left) {
                // Other chores run in between.
                self.chores.queue.push_back(rest);
            }
        }
        io.spend(SLICE - left);
        self.chores.arm(io);
    }

    /// Runs one slice of a chore. Returns the rest, if any.
    fn do_some(&mut self, io: &mut Io<'_>, chore: Chore, left: &mut u32) -> Option<Chore> {
        match chore {
            Chore::Replay(id, identity) => self.replay_some(io, id, identity, left),
            Chore::Wake(user) => self.wake_some(io, user, left),
            Chore::FanOut(user) => {
                // The engine counts deliveries; one call uses up the whole slice.
                spend(left, SLICE);
                self.fan_out_chore(io, user)
            }
            Chore::End(user, ended) => self.end_some(io, user, ended, left),
        }
    }

    fn replay_some(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: Identity,
        left: &mut u32,
    ) -> Option<Chore> {
        // The engine counts what is sent.
        spend(left, SLICE);
        let (mut post, sessions) = self.post();
        let kept = sessions.kept_of(&identity, id)?;
        let more = post.replay(io, kept, id).more;
        more.then_some(Chore::Replay(id, identity))
    }

    fn wake_some(&mut self, io: &mut Io<'_>, user: Box<str>, left: &mut u32) -> Option<Chore> {
        loop {
            let session = self.sessions.get(&user)?;
            // The glasses may be lost again, or another process asks for the apps.
            session.glasses().conn()?;
            spend(left, units(session.apps.len()));
            let mut apps = session.apps.iter().map(|app| &**app);
            let wakes = |app: &App| app.wakes().map(|wakes| (app.package.clone(), wakes));
            let (package, wakes) = apps.find_map(wakes)?;
            if *left == 0 {
                return Some(Chore::Wake(user));
            }
            spend(left, PER_APP);
            let identity = Role::App(&package).identity(&user.clone());
            match wakes {
                Wakes::Acknowledged => {
                    let actions = self.app_on(io, &user, &package, AppEvent::GlassesAreHere);
                    self.carry_out(io, &identity, actions);
                }
                Wakes::Asked => self.ask(io, &identity, &package, true),
            }
        }
    }

    fn end_some(
        &mut self,
        io: &mut Io<'_>,
        user: Box<str>,
        mut ended: Ended,
        left: &mut u32,
    ) -> Option<Chore> {
        if !ended.fan_outs.is_empty() {
            let before = ended.fan_outs.charged();
            let is_built = ended.fan_outs.build(&user);
            moved(io, before, ended.fan_outs.charged());
            if !is_built {
                spend(left, SLICE);
                return Some(Chore::End(user, ended));
            }
        }
        let each = PER_APP + 2 * ended.fan_outs.len() as u32;
        while *left > 0
            && let Some(mut app) = ended.apps.pop()
        {
            spend(left, each);
            let (mut post, _) = self.post();
            ended.fan_outs.offer_last(&mut post, io, &user, &mut app);
            self.end_app(io, &user, *app);
        }
        if ended.apps.is_empty() {
            io.release(ended.fan_outs.charged());
            self.stats.unrouted += ended.fan_outs.unrouted();
            return None;
        }
        Some(Chore::End(user, ended))
    }
}

fn spend(left: &mut u32, units: u32) {
    *left = left.saturating_sub(units);
}
