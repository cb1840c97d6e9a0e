//! A host's state per connection.

use crate::base::id::ConnId;

/// A host's state per connection: a vector by slot that checks generations.
///
/// ```
/// # use pulsegate::{ConnMap, ConnId};
/// # fn example(id: ConnId) {
/// let mut names = ConnMap::new();
/// names.insert(id, "ada");
/// assert_eq!(names.get(id), Some(&"ada"));
/// assert_eq!(names.remove(id), Some("ada"));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ConnMap<T> {
    slots: Vec<Option<(u32, T)>>,
    len: usize,
}

impl<T> Default for ConnMap<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> ConnMap<T> {
    /// An empty map.
    pub const fn new() -> Self {
        ConnMap {
            slots: Vec::new(),
            len: 0,
        }
    }

    /// Sets the state of a connection. Returns what it replaces, be it of this connection or of a former one in its slot.
    pub fn insert(&mut self, id: ConnId, value: T) -> Option<T> {
        if id.slot() >= self.slots.len() {
            self.slots.resize_with(id.slot() + 1, || None);
        }
        let old = self.slots[id.slot()].replace((id.generation(), value));
        self.len += usize::from(old.is_none());
        old.map(|(_, value)| value)
    }

    /// The state of a connection.
    pub fn get(&self, id: ConnId) -> Option<&T> {
        match self.slots.get(id.slot())? {
            Some((generation, value)) if *generation == id.generation() => Some(value),
            _ => None,
        }
    }

    /// The state of a connection, to change it.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        match self.slots.get_mut(id.slot())? {
            Some((generation, value)) if *generation == id.generation() => Some(value),
            _ => None,
        }
    }

    /// Takes the state of a connection out.
    pub fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get(id)?;
        self.len -= 1;
        self.slots[id.slot()].take().map(|(_, value)| value)
    }

    /// How many connections have state here.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether none has.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        let entry = |(slot, entry): (usize, &'_ Option<(u32, T)>)| {
            entry
                .as_ref()
                .map(|(generation, _)| ConnId::new(slot as u32, *generation))
        };
        self.slots.iter().enumerate().filter_map(move |pair| {
            let id = entry(pair)?;
            pair.1.as_ref().map(|(_, value)| (id, value))
        })
    }
}
