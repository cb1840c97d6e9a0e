//! What the models of sessions share: users, apps, how they are lost, and that nothing is left.

use crate::fleet::Fleet;
use pulsegate::testing::PeerId;

pub const USERS: [&str; 3] = ["ada", "bob", "a-b@c.de"];

pub const PACKAGES: [&str; 3] = ["p.x", "p.y", "p.z"];

/// Returns the state of a place: whether a connection holds it, and whether it is waited for.
pub fn place(fleet: &mut Fleet, user: &str, package: &str) -> Option<(bool, bool)> {
    fleet.net.with_io(|gateway, _| {
        let app = gateway.session(user)?.app(package)?;
        Some((app.view().conn().is_some(), app.view().absence().is_some()))
    })
}

pub fn lose(fleet: &mut Fleet, rng: &mut fastrand::Rng, peer: PeerId) {
    if fleet.is_open(peer) {
        match rng.u8(0..4) {
            0 => fleet.net.reset(peer),
            1 => fleet.net.half_close(peer),
            2 => fleet.net.send(peer, pulsegate::Message::Close(None)),
            _ => fleet.net.mute(peer),
        }
        fleet.net.settle();
    }
}

/// Checks that nothing is left when all peers have left.
pub fn all_ends(fleet: &mut Fleet, seed: u64) {
    let last = fleet.net.open_socket();
    (0..=last.0).for_each(|n| fleet.net.mute(PeerId(n)));
    fleet.advance(200_000);
    let stats = fleet.stats();
    assert_eq!(fleet.sessions(), 0, "seed {seed}");
    assert_eq!(stats.absent, [0, 0], "seed {seed}");
    assert_eq!((stats.kept, stats.kept_bytes), (0, 0), "seed {seed}");
    assert_eq!(fleet.charged(), 0, "seed {seed}");
}
