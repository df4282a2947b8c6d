//! Leaves hidden objects out of a list, a table or a watch in JSON, as it arrives in pieces of any size.
//!
//! It stands in front of the masker, which checks that what is left is JSON; on text that is, both agree on where each thing ends. Of the
//! outermost object it reads the members one by one, strictly; of what is in them only `items` and `rows` element by element, and of
//! `metadata` whether it counts what is left out. An element, or an event of a watch, is held until it is whole, and parsed to be judged.
//! Everything else passes as it came. `metadata` keeps resourceVersion and `continue`.

use memchr::memchr2;
use serde_json::{Map, Value};
use shared::limits::{HELD_BYTES_FREE, HIDDEN_OBJECT_BYTES};

use super::Hidden;
use super::event::{Columns, Shown};
use super::object::{Object, Row};

/// The body can't be judged, so it must not be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HideError {
    /// Not a list as the API server writes them: no object with `items` or `rows` in it, or one of them twice.
    #[error("at byte {offset} it is no list of objects")]
    Form {
        /// Bytes that came before.
        offset: u64,
    },
    /// Nobody can say what an object is called.
    #[error(
        "an object in it has no metadata, or metadata in two readings, so that nobody can say whether it is hidden"
    )]
    Unnamed,
    /// Longer than [`HIDDEN_OBJECT_BYTES`].
    #[error("an object or event of more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The body ended in the middle.
    #[error("it ends early")]
    Truncated,
}

/// A member of the outermost object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Other,
    Metadata,
    Items,
    Rows,
}

/// What is held until it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Name,
    Metadata,
    Item,
    Row,
    Event,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The outermost object.
    Start,
    /// A member's name; or, of the first, the end of the object.
    Key {
        first: bool,
    },
    Colon(Member),
    Value(Member),
    /// The rest of a text, object or array that passes as it is.
    Pass,
    /// The rest of a number or word.
    Word,
    /// The rest of what is held.
    Hold(Held),
    /// `,` or the end of the object.
    After,
    /// An element, or the end of the array.
    First(Held),
    /// An element.
    Element(Held),
    /// `,` or the end of the array.
    Behind(Held),
    /// Between two events.
    Event,
    Done,
    Failed,
}

/// Where a text, object or array ends.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    depth: u64,
    text: bool,
    escaped: bool,
}

/// See the module. One per body.
#[derive(Debug)]
pub struct Filter {
    hidden: Hidden,
    state: State,
    scan: Scan,
    held: Vec<u8>,
    columns: Columns,
    /// An element of the array was shown.
    shown: bool,
    /// `items` or `rows` have been there.
    listed: bool,
    metadata: bool,
    /// Bytes that came, and those before what is held.
    offset: u64,
    began: u64,
}

impl Filter {
    /// For the answer to a list.
    pub fn list(hidden: Hidden) -> Self {
        Self::new(hidden, State::Start)
    }

    /// For the answer to a watch.
    pub fn watch(hidden: Hidden) -> Self {
        Self::new(hidden, State::Event)
    }

    fn new(hidden: Hidden, state: State) -> Self {
        let columns = Columns::default();
        let scan = Scan::default();
        Self {
            hidden,
            state,
            scan,
            held: Vec::new(),
            columns,
            shown: false,
            listed: false,
            metadata: false,
            offset: 0,
            began: 0,
        }
    }

    /// Takes the next piece of the body and appends what is shown of it to `out`.
    ///
    /// # Errors
    /// [`HideError`]: what was appended by this call must not be used, and the caller must end the stream.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), HideError> {
        let mut rest = input;
        while !rest.is_empty() {
            let taken = self.step(rest, out).inspect_err(|_| self.state = State::Failed)?;
            self.offset += taken as u64;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Bytes that wait for the end of an object.
    pub(crate) const fn held(&self) -> usize {
        self.held.len()
    }

    /// The body has ended.
    ///
    /// # Errors
    /// In the middle, or there was no list in it.
    pub const fn finish(&self) -> Result<(), HideError> {
        let whole = matches!(self.state, State::Event) || self.listed && matches!(self.state, State::Done);
        if whole { Ok(()) } else { Err(HideError::Truncated) }
    }

    /// One step, and how many bytes it took.
    fn step(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, HideError> {
        if let State::Hold(held) = self.state {
            return self.hold(held, rest, out);
        }
        if self.state == State::Pass {
            let (taken, ended) = self.scan.read(rest);
            out.extend_from_slice(rest.get(..taken).unwrap_or_default());
            if ended {
                self.state = State::After;
            }
            return Ok(taken);
        }
        let Some(byte) = rest.first().copied() else { return Ok(0) };
        let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match (self.state, byte) {
            // Between elements and events, of which some are left out, none is kept.
            (State::First(_) | State::Element(_) | State::Behind(_) | State::Event, _) if space => return Ok(1),
            (State::Word, _) if space => self.state = State::After,
            (State::Start | State::Key { .. } | State::Colon(_) | State::Value(_) | State::After | State::Done, _)
                if space => {}
            (State::Start, b'{') => self.state = State::Key { first: true },
            (State::Key { .. }, b'"') => return self.begin(State::Hold(Held::Name)),
            (State::Key { first: true } | State::After | State::Word, b'}') => self.state = State::Done,
            (State::After | State::Word, b',') => self.state = State::Key { first: false },
            (State::Word, _) => {}
            (State::Colon(member), b':') => self.state = State::Value(member),
            (State::Value(member), _) => return self.value(member, byte, out),
            (State::First(held) | State::Element(held), b'{') => return self.begin(State::Hold(held)),
            (State::First(_) | State::Behind(_), b']') => self.state = State::After,
            (State::Behind(held), b',') => {
                self.state = State::Element(held);
                return Ok(1);
            }
            (State::Event, b'{') => return self.begin(State::Hold(Held::Event)),
            _ => return Err(self.form()),
        }
        out.push(byte);
        Ok(1)
    }

    /// A value begins.
    fn value(&mut self, member: Member, byte: u8, out: &mut Vec<u8>) -> Result<usize, HideError> {
        match (member, byte) {
            (Member::Metadata, b'{') => return self.begin(State::Hold(Held::Metadata)),
            (Member::Items, b'[') => self.state = State::First(Held::Item),
            (Member::Rows, b'[') => self.state = State::First(Held::Row),
            // `null`, as Go writes a list that was never made.
            (Member::Metadata | Member::Items | Member::Rows, b'n') => self.state = State::Word,
            (Member::Metadata | Member::Items | Member::Rows, _) => return Err(self.form()),
            (Member::Other, b'{' | b'[' | b'"') => return self.begin(State::Pass),
            (Member::Other, _) => self.state = State::Word,
        }
        out.push(byte);
        Ok(1)
    }

    fn begin(&mut self, state: State) -> Result<usize, HideError> {
        self.scan = Scan::default();
        self.state = state;
        self.began = self.offset;
        Ok(0)
    }

    fn hold(&mut self, held: Held, rest: &[u8], out: &mut Vec<u8>) -> Result<usize, HideError> {
        let (taken, ended) = self.scan.read(rest);
        if taken > HIDDEN_OBJECT_BYTES.saturating_sub(self.held.len()) {
            return Err(HideError::TooLong { limit: HIDDEN_OBJECT_BYTES });
        }
        let piece = rest.get(..taken).unwrap_or_default();
        if ended && self.held.is_empty() {
            self.state = self.judge(held, piece, out)?;
        } else {
            self.held.extend_from_slice(piece);
        }
        if ended && !self.held.is_empty() {
            let mut whole = std::mem::take(&mut self.held);
            self.state = self.judge(held, &whole, out)?;
            whole.clear();
            whole.shrink_to(HELD_BYTES_FREE);
            self.held = whole;
        }
        Ok(taken)
    }

    /// What is held is whole.
    fn judge(&mut self, held: Held, bytes: &[u8], out: &mut Vec<u8>) -> Result<State, HideError> {
        match held {
            Held::Name => {
                out.extend_from_slice(bytes);
                self.member(bytes).map(State::Colon)
            }
            Held::Metadata => {
                self.metadata(bytes, out)?;
                Ok(State::After)
            }
            Held::Item | Held::Row => {
                let meta = if held == Held::Item { Object::read(bytes)? } else { Row::read(bytes)? };
                if !self.hidden.hides(&meta) {
                    if self.shown {
                        out.push(b',');
                    }
                    self.shown = true;
                    out.extend_from_slice(bytes);
                }
                Ok(State::Behind(held))
            }
            Held::Event => {
                match self.columns.judge(bytes, &self.hidden)? {
                    Shown::No => return Ok(State::Event),
                    Shown::AsItCame => out.extend_from_slice(bytes),
                    Shown::Instead(event) => out.extend_from_slice(&event),
                }
                out.push(b'\n');
                Ok(State::Event)
            }
        }
    }

    /// Which member a name is. A reader that doesn't look at case could take another one for it.
    fn member(&mut self, name: &[u8]) -> Result<Member, HideError> {
        let form = HideError::Form { offset: self.began };
        let name: String = serde_json::from_slice(name).map_err(|_| form)?;
        let member = match name.as_str() {
            "metadata" => Member::Metadata,
            "items" => Member::Items,
            "rows" => Member::Rows,
            other if ["metadata", "items", "rows"].iter().any(|known| other.eq_ignore_ascii_case(known)) => {
                return Err(form);
            }
            _ => return Ok(Member::Other),
        };
        let before = if member == Member::Metadata { &mut self.metadata } else { &mut self.listed };
        if std::mem::replace(before, true) { Err(form) } else { Ok(member) }
    }

    /// The number of those that are still to come would count what is hidden. A list has no name: an object in its place has.
    fn metadata(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), HideError> {
        let form = HideError::Form { offset: self.began };
        let mut members: Map<String, Value> = serde_json::from_slice(bytes).map_err(|_| form)?;
        if members.contains_key("name") {
            return Err(form);
        }
        if members.remove("remainingItemCount").is_none() {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        serde_json::to_writer(out, &members).map_err(|_| form)
    }

    const fn form(&self) -> HideError {
        HideError::Form { offset: self.offset }
    }
}

impl Scan {
    /// How many of the bytes belong to it, and whether it ends with them.
    fn read(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.escaped {
                self.escaped = false;
            } else if self.text {
                let found = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest));
                let Some(found) = found else { return (bytes.len(), false) };
                at += found;
                self.escaped = bytes.get(at) == Some(&b'\\');
                self.text = self.escaped;
            } else {
                match byte {
                    b'"' => self.text = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
            at += 1;
            if self.depth == 0 && !self.text {
                return (at, true);
            }
        }
        (at, false)
    }
}
