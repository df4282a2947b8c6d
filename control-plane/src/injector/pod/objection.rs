//! Why a Pod is refused: sentences for the person who wrote it.

/// What kind of mistake it is; decides what kubectl prints in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Something is written wrongly.
    Mistake,
    /// Somebody changed what is ours.
    Changed,
    /// It would go round us.
    Bypass,
}

/// All that is wrong with one Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objections(Vec<(Reason, String)>);

/// More sentences than that nobody reads, and the API server passes them on in one line.
const TOLD: usize = 8;

impl Objections {
    /// Exactly one.
    pub fn one(reason: Reason, text: impl Into<String>) -> Self {
        Self(vec![(reason, text.into())])
    }

    pub(super) fn mistake(&mut self, text: impl Into<String>) {
        self.0.push((Reason::Mistake, text.into()));
    }

    pub(super) fn bypass(&mut self, text: impl Into<String>) {
        self.0.push((Reason::Bypass, text.into()));
    }

    pub(super) fn changed(&mut self, text: impl Into<String>) {
        self.0.push((Reason::Changed, text.into()));
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An error as soon as there is any.
    pub(super) fn so_far(&mut self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(std::mem::take(self)) }
    }

    /// The weightiest of the reasons.
    pub fn reason(&self) -> Reason {
        self.0.iter().map(|(reason, _)| *reason).max().unwrap_or(Reason::Mistake)
    }

    /// One line with all of them.
    pub fn message(&self) -> String {
        let mut told: Vec<&str> = self.0.iter().take(TOLD).map(|(_, text)| text.as_str()).collect();
        let more = self.0.len().saturating_sub(TOLD);
        let rest = format!("and {more} more");
        if more > 0 {
            told.push(&rest);
        }
        format!("Sallyport refuses this Pod: {}", told.join("; "))
    }
}
