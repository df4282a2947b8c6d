//! The generated field table, parsed once. Its grammar stands at its head and is written by `scripts/protobuf-table/table.go`.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

static TABLE: LazyLock<Result<Table, usize>> = LazyLock::new(|| Table::parse(include_str!("table.txt")));

/// The table, or the line at which it is broken (a test keeps that from happening).
pub(crate) fn table() -> Result<&'static Table, usize> {
    TABLE.as_ref().map_err(|line| *line)
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    /// By apiVersion and kind; the apiVersion `*` stands for any.
    kinds: HashMap<(&'static str, &'static str), (usize, bool)>,
    /// By apiVersion, the plurals of its kinds: every request asks for one.
    resources: HashMap<&'static str, HashSet<String>>,
    messages: Vec<Message>,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: &'static str,
    /// Ordered by number.
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// None: inlined, its own fields stand in the parent's JSON.
    pub(crate) name: Option<&'static str>,
    pub(crate) shape: Shape,
    pub(crate) kind: Kind,
    /// Whether Go leaves it out of the JSON when it is empty.
    pub(crate) omit: bool,
}

/// How often a value stands on the wire, and what Go has when it is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A Go value: absent is its zero.
    Plain,
    /// A Go pointer: absent is nil.
    Pointer,
    List,
    /// With string keys.
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Bool,
    Int32,
    Int64,
    Double,
    Bytes,
    Time,
    MicroTime,
    IntOrString,
    Quantity,
    Raw,
    WrappedList,
    SchemaOrBool(usize),
    SchemaOrArray(usize),
    SchemaOrStringArray(usize),
    Message(usize),
}

impl Table {
    /// The message of a kind, and whether its JSON carries `kind` and `apiVersion`.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<(usize, bool)> {
        self.kinds.get(&(api_version, kind)).or_else(|| self.kinds.get(&("*", kind))).copied()
    }

    pub(crate) fn message(&self, id: usize) -> Option<&Message> {
        self.messages.get(id)
    }

    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Whether a resource is one of these kinds, by the plural that Kubernetes makes of a kind's name (k8s.io/apimachinery
    /// pkg/api/meta/restmapper.go `UnsafeGuessKindToResource`).
    pub(crate) fn serves(&self, api_version: &str, resource: &str) -> bool {
        self.resources.get(api_version).is_some_and(|resources| resources.contains(resource))
    }

    fn parse(text: &'static str) -> Result<Self, usize> {
        let mut table = Self::default();
        for (index, line) in text.lines().enumerate() {
            table.line(line).ok_or(index + 1)?;
        }
        let known = table.messages.len();
        let named = table.messages.iter().flat_map(|message| &message.fields).filter_map(|field| field.kind.message());
        match named.chain(table.kinds.values().map(|(id, _)| *id)).all(|id| id < known) {
            true => Ok(table),
            false => Err(0),
        }
    }

    fn line(&mut self, line: &'static str) -> Option<()> {
        let mut words = line.split(' ');
        match words.next()? {
            "#" => {}
            mark @ ("k" | "k!") => {
                let (version, kind) = (words.next()?, words.next()?);
                self.kinds.insert((version, kind), (words.next()?.parse().ok()?, mark == "k"));
                self.resources.entry(version).or_default().insert(plural(kind));
            }
            "m" => self.messages.push(Message { name: words.next()?, fields: Vec::new() }),
            number => {
                let name = words.next().map(|name| (name != ".").then_some(name))?;
                let (shape, kind) = Kind::parse(words.next()?)?;
                let omit = kind.omits(shape, words.next().unwrap_or_default());
                let field = Field { number: number.parse().ok()?, name, shape, kind, omit };
                self.messages.last_mut()?.fields.push(field);
            }
        }
        Some(())
    }
}

impl Message {
    pub(crate) fn field(&self, number: u64) -> Option<&Field> {
        self.fields.get(self.position(number)?)
    }

    pub(crate) fn position(&self, number: u64) -> Option<usize> {
        let number = u32::try_from(number).ok()?;
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }
}

/// See [`Table::serves`].
fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match kind.strip_suffix('y') {
        _ if kind == "endpoints" => kind,
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => kind + "es",
        None => kind + "s",
    }
}

impl Kind {
    fn parse(label: &'static str) -> Option<(Shape, Self)> {
        let (shape, label) = match label.split_at_checked(1)? {
            ("*", rest) => (Shape::Pointer, rest),
            ("[", rest) => (Shape::List, rest),
            ("{", rest) => (Shape::Map, rest),
            _ => (Shape::Plain, label),
        };
        let (first, rest) = label.split_at_checked(1)?;
        let kind = match first {
            "s" => Self::Text,
            "b" => Self::Bool,
            "i" => Self::Int32,
            "l" => Self::Int64,
            "d" => Self::Double,
            "y" => Self::Bytes,
            "T" => Self::Time,
            "U" => Self::MicroTime,
            "I" => Self::IntOrString,
            "Q" => Self::Quantity,
            "R" => Self::Raw,
            "W" => Self::WrappedList,
            "B" => Self::SchemaOrBool(rest.parse().ok()?),
            "A" => Self::SchemaOrArray(rest.parse().ok()?),
            "S" => Self::SchemaOrStringArray(rest.parse().ok()?),
            _ => Self::Message(label.parse().ok()?),
        };
        Some((shape, kind))
    }

    /// `omitempty` doesn't count for a Go struct, `omitzero` does; of structs, only times carry it.
    fn omits(self, shape: Shape, flags: &str) -> bool {
        let is_struct = match self {
            Self::Text | Self::Bool | Self::Int32 | Self::Int64 | Self::Double | Self::Bytes | Self::WrappedList => {
                false
            }
            Self::Time
            | Self::MicroTime
            | Self::IntOrString
            | Self::Quantity
            | Self::Raw
            | Self::SchemaOrBool(_)
            | Self::SchemaOrArray(_)
            | Self::SchemaOrStringArray(_)
            | Self::Message(_) => true,
        };
        flags.contains('z') || (flags.contains('e') && !(is_struct && shape == Shape::Plain))
    }

    /// The wire type of one value.
    pub(crate) fn wire(self) -> u8 {
        match self {
            Self::Bool | Self::Int32 | Self::Int64 => super::wire::VARINT,
            Self::Double => super::wire::FIXED64,
            Self::Text
            | Self::Bytes
            | Self::Time
            | Self::MicroTime
            | Self::IntOrString
            | Self::Quantity
            | Self::Raw
            | Self::WrappedList
            | Self::SchemaOrBool(_)
            | Self::SchemaOrArray(_)
            | Self::SchemaOrStringArray(_)
            | Self::Message(_) => super::wire::BYTES,
        }
    }

    /// The message that it is, or is written as.
    pub(crate) fn message(self) -> Option<usize> {
        match self {
            Self::SchemaOrBool(id) | Self::SchemaOrArray(id) | Self::SchemaOrStringArray(id) | Self::Message(id) => {
                Some(id)
            }
            Self::Text
            | Self::Bool
            | Self::Int32
            | Self::Int64
            | Self::Double
            | Self::Bytes
            | Self::Time
            | Self::MicroTime
            | Self::IntOrString
            | Self::Quantity
            | Self::Raw
            | Self::WrappedList => None,
        }
    }
}
