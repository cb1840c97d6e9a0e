//! The classes of peers, as products register them.

use crate::engine::{Class, ClassConfig};
use crate::health::Policy;
use std::sync::Arc;

/// Words of the log and the API that stand for no class, and for all.
const RESERVED: [&str; 2] = ["none", "all"];

/// What a product says of one of its classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassInfo {
    /// The name in logs, metrics, alerts and the API: a few letters, digits and underscores.
    pub name: &'static str,
    /// What its peers are called on the page, in the plural.
    pub label: &'static str,
    /// How its connections are supervised, unless settings say otherwise.
    pub policy: Policy,
}

/// The classes of all products; the position of each is its [`Class`]. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes(Arc<[ClassInfo]>);

impl Classes {
    /// The classes of these products, in this order.
    ///
    /// # Panics
    /// If there are more than 256, if a name is not lower-case letters, digits and underscores, is used twice or is a word that
    /// stands for no class, or if a label has characters that HTML must escape: products write both into their code.
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
                "class {name:?} stands for no class"
            );
            let is_twice = infos[..nth].iter().any(|other| other.name == name);
            assert!(!is_twice, "two classes {name:?}");
            assert!(!label.contains(['<', '>', '&', '"']), "label {label:?}");
        }
        Classes(infos)
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns all of them, by number.
    pub fn infos(&self) -> &[ClassInfo] {
        &self.0
    }

    /// Returns their names, by number.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|info| info.name)
    }

    /// Returns what the engine is told of them, each with its own policy.
    pub fn configs(&self) -> Vec<ClassConfig> {
        let config = |info: &ClassInfo| ClassConfig {
            name: info.name.to_owned(),
            policy: info.policy,
        };
        self.0.iter().map(config).collect()
    }

    /// Returns the name of a class, `none` if no product has registered it.
    pub fn name(&self, class: Class) -> &'static str {
        let info = self.0.get(usize::from(class.0));
        info.map_or("none", |info| info.name)
    }

    /// Returns the class of this name.
    pub fn named(&self, name: &str) -> Option<Class> {
        let at = self.0.iter().position(|info| info.name == name)?;
        u8::try_from(at).ok().map(Class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &'static str, label: &'static str) -> ClassInfo {
        ClassInfo {
            name,
            label,
            policy: Policy::DEFAULT,
        }
    }

    #[test]
    fn names_are_plain_and_no_two_are_alike() {
        let classes = Classes::new([info("a", "A"), info("b_2", "B")]);
        assert_eq!(classes.named("b_2"), Some(Class(1)));
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
