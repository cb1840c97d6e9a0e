//! Random texts that are almost JSON, for tests.

/// Bytes that a mutation inserts into a text.
const BYTES: &[u8] = br#"{}[]",:\u0 etn1-+.E/"#;

/// Mutates one of these texts: up to three bytes are changed, inserted or cut out, or its end is
/// doubled. `None` if the result is not UTF-8.
pub(crate) fn mutate(rng: &mut fastrand::Rng, texts: &[&str]) -> Option<String> {
    let mut bytes = rng.choice(texts)?.as_bytes().to_vec();
    for _ in 0..rng.u8(0..4) {
        let at = rng.usize(0..bytes.len());
        match rng.u8(0..4) {
            0 => bytes[at] = BYTES[rng.usize(0..BYTES.len())],
            1 => bytes.insert(at, BYTES[rng.usize(0..BYTES.len())]),
            2 => drop(bytes.remove(at)),
            _ => bytes.extend_from_within(at..),
        }
    }
    String::from_utf8(bytes).ok()
}
