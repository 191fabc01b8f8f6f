//! Whether bytes can be handed to a reader of ONNX: that every message and every number in it ends inside what holds it, and
//! that messages nest no deeper than any exporter makes them. The reader allocates what a length claims, takes a message's end for
//! reached once it is passed, and recurses as deep as a file goes: neither an allocation that fails nor a stack that is full
//! can be caught. So every message that the reader opens is walked here first.

/// Messages in messages: a graph in a node of a graph is three of them.
const DEEPEST: usize = 60;

/// What a message is, as far as others of its kind can be inside it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    Shape,
    Sequence,
    /// Numbers and strings only.
    Leaf,
}

/// What a field of bytes holds that is no message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packed {
    /// Numbers of as many bytes as they need.
    Varints,
    /// Numbers of so many bytes.
    Fixed(usize),
}

impl Kind {
    /// The message that a field of this number holds, by `onnx.proto`.
    const fn field(self, number: u64) -> Option<Self> {
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) => Some(Self::Tensor),
            (Self::Graph, 11..=13) => Some(Self::Value),
            (Self::Node, 5) => Some(Self::Attribute),
            (Self::Value, 2) | (Self::Attribute, 14 | 15) | (Self::Sequence, 1) => Some(Self::Type),
            (Self::Type, 1) => Some(Self::TensorType),
            (Self::Type, 4..=9) => Some(Self::Sequence),
            (Self::TensorType, 2) => Some(Self::Shape),
            (Self::Model, 8 | 14) | (Self::Tensor, 13) | (Self::Shape, 1) => Some(Self::Leaf),
            _ => None,
        }
    }

    /// The numbers that a field holds, one behind the other.
    const fn packed(self, number: u64) -> Option<Packed> {
        match (self, number) {
            (Self::Tensor, 4) => Some(Packed::Fixed(4)),
            (Self::Tensor, 5 | 7) => Some(Packed::Varints),
            (Self::Tensor, 10) => Some(Packed::Fixed(8)),
            _ => None,
        }
    }
}

impl Packed {
    /// Whether the last number ends where the field does.
    fn ends(self, bytes: &[u8]) -> bool {
        match self {
            Self::Varints => bytes.last().is_none_or(|last| last & 0x80 == 0),
            Self::Fixed(size) => bytes.len().is_multiple_of(size),
        }
    }
}

/// Checks a file.
///
/// # Errors
/// In words that go behind the file's name.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let cut = || "is no ONNX model, or is cut short: save it anew".to_owned();
    // What is open: a kind, and where its message ends.
    let mut open = vec![(Kind::Model, bytes.len())];
    let mut at = 0;
    while let Some(&(kind, end)) = open.last() {
        if at == end {
            open.pop();
            continue;
        }
        let key = varint(bytes, &mut at, end).ok_or_else(cut)?;
        let length = match key & 7 {
            0 => varint(bytes, &mut at, end).map(|_| 0),
            1 => Some(8),
            2 => varint(bytes, &mut at, end),
            5 => Some(4),
            _ => None,
        };
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or_else(cut)?;
        let after = at.checked_add(length).filter(|after| *after <= end).ok_or_else(cut)?;
        let number = key >> 3;
        let packed = kind.packed(number).filter(|_| key & 7 == 2);
        if packed.is_some_and(|packed| !packed.ends(&bytes[at..after])) {
            return Err(cut());
        }
        match kind.field(number).filter(|_| key & 7 == 2) {
            Some(inner) => {
                open.push((inner, after));
                if open.len() > DEEPEST {
                    return Err(format!("nests messages deeper than {DEEPEST}: no exporter does"));
                }
            }
            None => at = after,
        }
    }
    Ok(())
}

fn varint(bytes: &[u8], at: &mut usize, end: usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).filter(|_| *at < end)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
