//! A bounded queue of the latest values.

use std::collections::VecDeque;

/// Appends a value. If there are already `most` (at least 1), the oldest is dropped.
pub(crate) fn push<T>(latest: &mut VecDeque<T>, most: usize, value: T) {
    if latest.len() == most {
        latest.pop_front();
    }
    latest.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let mut latest = VecDeque::new();
        for value in 0..5 {
            push(&mut latest, 3, value);
        }
        assert_eq!(latest, [2, 3, 4]);
    }
}
