//! The classes of peers, as registered by products.

use crate::base::cause::{Cause, EndedBy};
use crate::engine::{Class, ClassConfig, Ending};
use crate::health::Policy;
use std::sync::Arc;

/// Reserved words that no class may have as its name: in the log and the API they stand for no
/// class, and for all classes.
const RESERVED: [&str; 2] = ["none", "all"];

/// A class as its product describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassInfo {
    /// The name in logs, metrics, alerts and the API: a few letters, digits and underscores.
    pub name: &'static str,
    /// The plural name of its peers on the page.
    pub label: &'static str,
    /// The name of a peer of this class as the side that ends a connection; `None`: the engine's
    /// words, `peer` and `us`.
    pub ended_by: Option<&'static str>,
    /// The default heartbeat policy of its connections; settings may override it.
    pub policy: Policy,
}

/// The classes of all products; the position of each is its [`Class`]. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes(Arc<[ClassInfo]>);

impl Classes {
    /// Makes the classes of these products, in this order.
    pub fn new(infos: impl IntoIterator<Item = ClassInfo>) -> Self {
        let infos: Arc<[ClassInfo]> = infos.into_iter().collect();
        assert!(infos.len() <= 256, "{} classes", infos.len());
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        for (nth, info) in infos.iter().enumerate() {
            let (name, label) = (info.name, info.label);
            assert!(
                !name.is_empty() && name.chars().all(is_plain),
                "class {name:?}"
            );
            assert!(
                !RESERVED.contains(&name),
                "class {name:?}: this name is reserved"
            );
            let is_twice = infos[..nth].iter().any(|other| other.name == name);
            assert!(!is_twice, "two classes {name:?}");
            assert!(!label.contains(['<', '>', '&', '"']), "label {label:?}");
        }
        Classes(infos)
    }

    /// Returns the number of classes.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the descriptions of all classes, by number.
    pub fn infos(&self) -> &[ClassInfo] {
        &self.0
    }

    /// Returns the names of all classes, by number.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|info| info.name)
    }

    /// Returns the engine's configuration of the classes, each with its own policy.
    pub fn configs(&self) -> Vec<ClassConfig> {
        let config = |info: &ClassInfo| ClassConfig {
            name: info.name.to_owned(),
            policy: info.policy,
        };
        self.0.iter().map(config).collect()
    }

    /// Returns the name of a class, or `none` if no product has registered it.
    pub fn name(&self, class: Class) -> &'static str {
        let info = self.0.get(usize::from(class.0));
        info.map_or("none", |info| info.name)
    }

    /// Returns the side that ended a connection, or its pair: the name of a peer if its class has
    /// one, and then `gateway` for this process.
    pub fn ended_by(&self, end: &Ending) -> &'static str {
        let (cause, class) = first_end(end);
        let peer = match class {
            Some(class) => self.0.get(usize::from(class.0)).and_then(|i| i.ended_by),
            // A request was not accepted. With a bridge its peer is a client.
            None => self.0.iter().find_map(|info| info.ended_by),
        };
        ending_side(cause, peer)
    }

    /// Returns whether connections of a class are those that the gateway makes to upstreams.
    pub fn is_upstream(&self, class: Class) -> bool {
        let info = self.0.get(usize::from(class.0));
        info.is_some_and(|info| info.ended_by == Some("upstream"))
    }

    /// Returns the leg of a pair that connections of a class are: `upstream`, or `client` for all
    /// that the gateway has accepted.
    pub fn leg(&self, class: Class) -> &'static str {
        match self.is_upstream(class) {
            true => "upstream",
            false => "client",
        }
    }

    /// Returns the class with this name.
    pub fn by_name(&self, name: &str) -> Option<Class> {
        let at = self.0.iter().position(|info| info.name == name)?;
        u8::try_from(at).ok().map(Class)
    }
}

/// Returns the cause of the end of a connection, or of its pair: of the leg that ended first, with
/// its class.
pub(crate) fn first_end(end: &Ending) -> (Cause, Option<Class>) {
    let first = end.partner.and_then(|partner| partner.first);
    match first.filter(|_| end.cause == Cause::PARTNER_ENDED) {
        Some((cause, class)) => (cause, Some(class)),
        // It was not linked yet: its client has left.
        None if end.cause == Cause::PARTNER_ENDED && end.partner.is_none() => (end.cause, None),
        None => (end.cause, end.class),
    }
}

/// Returns the side to which a cause is due. `peer` is the name of the peer, if its class has one.
pub(crate) fn ending_side(cause: Cause, peer: Option<&'static str>) -> &'static str {
    match (peer, cause.by()) {
        (Some(name), EndedBy::Peer) => name,
        (Some(_), EndedBy::Server) => "gateway",
        (_, by) => by.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &'static str, label: &'static str) -> ClassInfo {
        ClassInfo {
            name,
            label,
            ended_by: None,
            policy: Policy::DEFAULT,
        }
    }

    #[test]
    fn names_are_plain_and_no_two_are_alike() {
        let classes = Classes::new([info("a", "A"), info("b_2", "B")]);
        assert_eq!(classes.by_name("b_2"), Some(Class(1)));
        assert_eq!(
            (classes.name(Class(0)), classes.name(Class(2))),
            ("a", "none")
        );
        for faulty in [
            vec![info("", "A")],
            vec![info("A", "A")],
            vec![info("all", "A")],
            vec![info("none", "A")],
            vec![info("a", "A"), info("a", "B")],
            vec![info("a", "<b>")],
        ] {
            let built = std::panic::catch_unwind(|| Classes::new(faulty.clone()));
            assert!(built.is_err(), "{faulty:?}");
        }
    }
}
