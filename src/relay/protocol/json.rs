//! A JSON grammar that is checked byte by byte (RFC 8259): what may come next.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Value,
    /// The first value of an array may follow, or the array's end.
    FirstValue,
    Name,
    /// The first name of an object may follow, or the object's end.
    FirstName,
    Colon,
    /// A comma may follow, or the end of an array or object.
    Comma,
    /// Only white space may follow.
    End,
    /// The rest of a string must follow.
    Characters,
    /// The character after a backslash must follow.
    Escape,
    /// The hexadecimal digits of an escape must follow.
    Digits,
    /// The rest of a number may follow, after this part of it.
    Number(NumberPart),
    /// The rest of `true`, `false` or `null` must follow.
    Literal(Literal),
    /// Nothing may follow: the last byte was not valid JSON.
    Invalid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Literal {
    True,
    False,
    Null,
}

impl Literal {
    pub(super) const fn text(self) -> &'static [u8] {
        match self {
            Literal::True => b"true",
            Literal::False => b"false",
            Literal::Null => b"null",
        }
    }
}

/// The part of a number that was read last (RFC 8259 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberPart {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    Power,
}

impl NumberPart {
    /// Returns the part that a byte begins or continues; `None` if the number ends before it.
    pub(super) fn next(self, byte: u8) -> Option<Self> {
        use NumberPart::{Exponent, ExponentSign, Fraction, Integer, Minus, Point, Power, Zero};
        Some(match (self, byte) {
            (Minus, b'0') => Zero,
            (Minus | Integer, b'0'..=b'9') => Integer,
            (Zero | Integer, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Integer | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => ExponentSign,
            (Exponent | ExponentSign | Power, b'0'..=b'9') => Power,
            _ => return None,
        })
    }

    /// Reads as much of a number as `bytes` has. Returns the length read, and the part at its end.
    pub(super) fn run(self, bytes: &[u8]) -> (usize, Self) {
        let mut part = self;
        for (at, byte) in bytes.iter().enumerate() {
            match part.next(*byte) {
                Some(next) => part = next,
                None => return (at, part),
            }
        }
        (bytes.len(), part)
    }

    /// Returns whether a number may end after this part.
    pub(super) fn may_end(self) -> bool {
        matches!(
            self,
            NumberPart::Zero | NumberPart::Integer | NumberPart::Fraction | NumberPart::Power
        )
    }
}

/// The open arrays and objects, one bit each.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    pub(super) bits: Vec<u64>,
    pub(super) depth: usize,
}

impl Nesting {
    pub(super) fn push(&mut self, is_object: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        self.bits[word] = self.bits[word] & !(1 << bit) | u64::from(is_object) << bit;
        self.depth += 1;
    }

    pub(super) fn is_in_object(&self) -> bool {
        let Some(at) = self.depth.checked_sub(1) else {
            return false;
        };
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }
}

/// Returns `expected` if the byte is white space; any other byte is an error there.
pub(super) fn expect_space(byte: u8, expected: Expected) -> Expected {
    match byte {
        b' ' | b'\t' | b'\n' | b'\r' => expected,
        _ => Expected::Invalid,
    }
}

/// Returns the length of the run at the start of `bytes` that a string may contain unescaped.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let ends = |b: &u8| *b < 0x20 || *b == b'"' || *b == b'\\';
    // Checks eight bytes at a time, so that whole runs need no branch for each byte.
    let (eights, _) = bytes.as_chunks::<8>();
    let whole = eights
        .iter()
        .take_while(|eight| !eight.iter().fold(false, |any, b| any | ends(b)))
        .count();
    let rest = bytes[8 * whole..].iter();
    8 * whole + rest.take_while(|b| !ends(b)).count()
}
