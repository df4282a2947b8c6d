//! Names of fields, as policy writes them: `data.*password*`, `spec.users[*].token`, `spec.containers[*].env[name=*SECRET*].value`,
//! `data['db.conf']`. A part of JSONPath, with `*` inside names as well. Upper and lower case are one: too much rather than too little. What is
//! to be shown of them is named whole, as it is written.

/// One field or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Step>);

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Members of a map whose name fits.
    Member(String),
    /// All elements of a list.
    Elements,
    /// The elements of a list in which this member fits.
    Where(String, String),
}

/// It can't be read. `Display` is the sentence for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There is no step in it.
    #[error("names no field; expected one like data.password or spec.users[*].token")]
    Empty,
    /// Something between the dots.
    #[error("has an empty name in it; a name with dots stands in brackets: data['a.b']")]
    EmptyName,
    /// `[` without end, or with something else in it.
    #[error("in brackets stand * for all elements, name=PATTERN for some of them, or a name in quotes")]
    Bracket,
    /// A star in a name, where it must be whole.
    #[error("is to be named whole, without * in a name")]
    Star,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        Self::read(text, str::to_lowercase)
    }

    /// One field, or the same of each element or some: names are names, and no patterns.
    pub(super) fn exact(text: &str) -> Result<Self, PatternError> {
        let pattern = Self::read(text, str::to_owned)?;
        let is_whole = |step: &Step| match step {
            Step::Elements => true,
            Step::Member(name) => !name.contains('*'),
            Step::Where(name, text) => !name.contains('*') && !text.contains('*'),
        };
        if pattern.0.iter().all(is_whole) { Ok(pattern) } else { Err(PatternError::Star) }
    }

    fn read(text: &str, spelled: fn(&str) -> String) -> Result<Self, PatternError> {
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(inside) = rest.strip_prefix('[') {
                bracket(inside, spelled)?
            } else {
                // The first name may do without its dot.
                let name =
                    rest.strip_prefix('.').or_else(|| steps.is_empty().then_some(rest)).ok_or(PatternError::Bracket)?;
                let (name, after) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
                (Step::Member(spelled(some(name)?)), after)
            };
            steps.push(step);
            rest = after;
        }
        if steps.is_empty() { Err(PatternError::Empty) } else { Ok(Self(steps)) }
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether all that another one names, exactly, is among what this one means.
    pub(super) fn covers(&self, exact: &Self) -> bool {
        let step = |steps: (&Step, &Step)| match steps {
            (Step::Member(pattern), Step::Member(name)) => fits(pattern, name),
            (Step::Elements, Step::Elements | Step::Where(..)) => true,
            (Step::Where(name, pattern), Step::Where(same, text)) => name == same && fits(pattern, text),
            (Step::Member(_) | Step::Elements | Step::Where(..), _) => false,
        };
        self.0.len() <= exact.0.len() && self.0.iter().zip(&exact.0).all(step)
    }
}

/// After an opening bracket.
fn bracket(inside: &str, spelled: fn(&str) -> String) -> Result<(Step, &str), PatternError> {
    for quote in ['\'', '"'] {
        if let Some(name) = inside.strip_prefix(quote) {
            let (name, rest) = name.split_once(quote).ok_or(PatternError::Bracket)?;
            return Ok((Step::Member(spelled(some(name)?)), rest.strip_prefix(']').ok_or(PatternError::Bracket)?));
        }
    }
    let (inside, rest) = inside.split_once(']').ok_or(PatternError::Bracket)?;
    let step = match inside.split_once('=') {
        Some((name, pattern)) => Step::Where(
            Some(name).filter(|name| !name.is_empty()).ok_or(PatternError::Bracket)?.to_owned(),
            spelled(some(pattern)?),
        ),
        None if inside == "*" => Step::Elements,
        None => return Err(PatternError::Bracket),
    };
    Ok((step, rest))
}

fn some(name: &str) -> Result<&str, PatternError> {
    if name.is_empty() { Err(PatternError::EmptyName) } else { Ok(name) }
}

/// Whether a text fits a pattern in lower case, in which `*` stands for anything.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let text = text.to_lowercase();
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.split_once(part) {
            Some((_, after)) if !part.is_empty() => left = after,
            Some(_) => {}
            None => return false,
        }
    }
    true
}
