//! The classes of peers, as registered by products.

use crate::engine::{Class, ClassConfig};
use crate::health::Policy;
use std::sync::Arc;

/// A class as its product describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassInfo {
    /// The name in logs, metrics, alerts and the API: a few letters, digits and underscores.
    pub name: &'static str,
    /// The plural name of its peers on the page.
    pub label: &'static str,
    /// How its connections are supervised by default; settings may override it.
    pub policy: Policy,
}

/// The classes of all products; the position of each is its [`Class`]. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes(Arc<[ClassInfo]>);

impl Classes {
    /// Makes the classes of these products, in this order.
    pub fn new(infos: impl IntoIterator<Item = ClassInfo>) -> Self {
        Classes(infos.into_iter().collect())
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

    /// Returns the class with this name.
    pub fn named(&self, name: &str) -> Option<Class> {
        let at = self.0.iter().position(|info| info.name == name)?;
        u8::try_from(at).ok().map(Class)
    }
}
