//! Conditions: CEL expressions over `request`, `identity`, `object`, `oldObject`, `session`
//! (<https://github.com/google/cel-spec>, the language of Kubernetes' own admission policies).
//!
//! The interpreter has no limits of its own, so we give it some: the source is bounded before it is parsed (its recursion would
//! overflow a stack), names are checked when the policy is loaded, every loop is rewritten to count its steps ([`rewrite`]) and to
//! look at the caller's deadline, `matches` takes a constant pattern that is compiled at load, and what goes in is bounded
//! ([`facts`]). Whatever goes wrong is [`Broken`]: the caller holds or denies, never allows.

mod check;
mod facts;
mod rewrite;
mod trial;

use std::sync::{Arc, LazyLock};

use cel::common::ast::IdedExpr;
use cel::common::types::{BOOL_TYPE, CelBool, CelString, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Context, Env, ExecutionError, Value};
use shared::limits;

pub(super) use facts::Facts;
pub(super) use trial::try_out;

/// Name of the function that `matches` is rewritten to. No source can spell it.
const MATCHES: &str = "@matches";
/// Prefix of the variable that stands for a compiled pattern.
const PATTERN: &str = "@pattern:";
/// The variable whose every lookup is one step of a loop.
const TICK: &str = "@tick";

/// A compiled condition.
#[derive(Debug)]
pub(super) struct Condition {
    expression: IdedExpr,
    /// Whether it asks for `object`.
    pub(super) uses_object: bool,
    /// Whether it asks for `oldObject`.
    pub(super) uses_old_object: bool,
}

/// A mistake within an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CelMistake {
    /// Line within the expression, from 0.
    pub(super) line: usize,
    /// Column within that line, in characters, from 0.
    pub(super) column: usize,
    pub(super) message: String,
}

/// A condition gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// Past [`limits::CEL_TICKS`] or the caller's deadline.
    #[error("took too long")]
    TooLong,
    /// The object is larger than conditions see.
    #[error("the object is larger than conditions may look at")]
    TooLarge,
    /// The live object is asked for and was not read.
    #[error("needs the live object, which could not be read")]
    NotRead,
    /// The body can't be read.
    #[error("needs the body, which could not be read")]
    Unreadable,
    /// CEL's own error: a missing key, a wrong type, an overflow.
    #[error("could not be answered: {0}")]
    Error(String),
}

/// Compiled patterns of `matches`, of all conditions of a policy.
pub(super) type Patterns = Vec<Pattern>;

/// A regular expression as a CEL value, so that nothing is compiled while a request waits.
#[derive(Clone, Debug)]
pub(super) struct Pattern(regex::Regex);

static PATTERN_TYPE: Type = Type::new_unspecified_type("sallyport.pattern");

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = arguments.first().and_then(|text| text.downcast_ref::<CelString<'v>>());
    let pattern = arguments.get(1).and_then(|pattern| pattern.downcast_ref::<Pattern>());
    match (text, pattern) {
        (Some(text), Some(pattern)) => Ok(CowVal::owned(CelBool::from(pattern.0.is_match(text.inner())))),
        _ => Err(ExecutionError::function_error("matches", "takes a text and a pattern")),
    }
}

/// The standard library without optionals, and our `matches`. Built once; building it costs more than an evaluation.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    // If this failed, every use of `matches` would be an unknown function: held, never allowed.
    let added = env.add_overload(MATCHES, "sallyport_matches", vec![STRING_TYPE, PATTERN_TYPE.to_owned()], matches);
    debug_assert!(added.is_ok() && BOOL_TYPE.name() == "bool");
    Arc::new(env)
});

impl Condition {
    /// Compiles a condition. Patterns of its `matches` are appended to `patterns`.
    ///
    /// # Errors
    ///
    /// All mistakes that can be told without running it.
    pub(super) fn compile(source: &str, patterns: &mut Patterns) -> Result<Self, Vec<CelMistake>> {
        bounded(source).map_err(|mistake| vec![mistake])?;
        let program = ENVIRONMENT.compile(source).map_err(|errors| syntax(&errors))?;
        if depth(program.expression()) > limits::CEL_DEPTH {
            return Err(vec![whole(format!("nests deeper than {}", limits::CEL_DEPTH))]);
        }
        let mistakes = check::names(&program, source);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let references = program.references();
        let uses_object = references.has_variable("object");
        let uses_old_object = references.has_variable("oldObject");
        let mut expression = program.expression().clone();
        rewrite::count_loops(&mut expression).map_err(|message| vec![whole(message)])?;
        rewrite::compile_patterns(&mut expression, patterns)
            .map_err(|(id, message)| vec![check::mistake(&program, source, id, message)])?;
        Ok(Self { expression, uses_object, uses_old_object })
    }

    /// Answers it.
    ///
    /// # Errors
    ///
    /// [`Broken`], whatever CEL made of an error inside: `a || b` may swallow one, so the counters are looked at afterwards.
    pub(super) fn test(&self, facts: &Facts<'_>) -> Result<bool, Broken> {
        if let Some(broken) = facts.broken() {
            return Err(broken);
        }
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(facts);
        let answer = Value::resolve_val(&self.expression, &context);
        if let Some(broken) = facts.broken() {
            return Err(broken);
        }
        match answer {
            Ok(value) => match value.downcast_ref::<CelBool>() {
                Some(answer) => Ok(*answer.inner()),
                None => Err(Broken::Error(format!("the answer is a {}, not true or false", value.get_type().name()))),
            },
            Err(error) => Err(Broken::Error(told(&error))),
        }
    }
}

/// The error without the values in it: they are the asker's, and may be secret.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign enum that grows; every other error is told in general words"
)]
fn told(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no field \"{}\"", crate::risk::shown(key)),
        ExecutionError::UndeclaredReference(name) => format!("there is no \"{}\"", crate::risk::shown(name)),
        ExecutionError::NoSuchOverload(overload) => overload.to_string(),
        ExecutionError::UnexpectedType { want, .. } => format!("a {want} was expected"),
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "a division by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number is too large".to_owned(),
        _ => "an operation doesn't fit its values".to_owned(),
    }
}

const fn whole(message: String) -> CelMistake {
    CelMistake { line: 0, column: 0, message }
}

/// Bounds what the parser may see; it recurses as deep as operators nest.
fn bounded(source: &str) -> Result<(), CelMistake> {
    if source.len() > limits::CEL_SOURCE_BYTES {
        return Err(whole(format!(
            "the expression has {} bytes, at most {} are read",
            source.len(),
            limits::CEL_SOURCE_BYTES
        )));
    }
    let operators = source.bytes().filter(|byte| b"+-*/%<>=!&|?:.,[({".contains(byte)).count();
    if operators > limits::CEL_OPERATORS {
        return Err(whole(format!(
            "the expression has {operators} operators, brackets and commas, at most {} are read",
            limits::CEL_OPERATORS
        )));
    }
    // Brackets within texts count as well: telling them apart is the parser's work, and it hasn't begun.
    let (mut open, mut deepest) = (0_usize, 0);
    for byte in source.bytes() {
        match byte {
            // The parser recurses for the second half of a choice as for a bracket, and that one is never closed.
            b'(' | b'[' | b'{' | b'?' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    if deepest > limits::CEL_BRACKETS {
        return Err(whole(format!("brackets nest {deepest} deep, at most {} are read", limits::CEL_BRACKETS)));
    }
    Ok(())
}

fn syntax(errors: &cel::ParseErrors) -> Vec<CelMistake> {
    let place = |number: isize| usize::try_from(number.saturating_sub(1)).unwrap_or(0);
    let mut mistakes: Vec<CelMistake> = errors
        .errors
        .iter()
        .map(|error| CelMistake {
            line: place(error.pos.0),
            column: place(error.pos.1),
            // The parser lists every token that it would have taken.
            message: error.msg.split(" expecting {").next().unwrap_or_default().to_owned(),
        })
        .collect();
    if mistakes.is_empty() {
        mistakes.push(whole("is no CEL expression".to_owned()));
    }
    mistakes
}

fn depth(expression: &IdedExpr) -> usize {
    1 + rewrite::children(expression).into_iter().map(depth).max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
