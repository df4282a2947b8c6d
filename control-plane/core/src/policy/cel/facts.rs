//! What conditions see: made at most once per operation, each variable only if a condition asks for it, borrowed from the question.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use serde_json::Value;
use shared::limits;

use super::{Broken, PATTERN, Pattern, TICK};
use crate::policy::question::{Body, Live, Question};
use crate::risk;

type Boxed<'q> = Box<dyn Val + 'q>;

static TRUE: LazyTrue = LazyTrue::new();

/// A `true` that can be borrowed for ever.
struct LazyTrue(OnceLock<CelBool>);

impl LazyTrue {
    const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn get(&self) -> &CelBool {
        self.0.get_or_init(|| CelBool::from(true))
    }
}

/// The variables of one operation, its step counter, and what went wrong.
pub(in crate::policy) struct Facts<'q> {
    question: Question<'q>,
    patterns: &'q [Pattern],
    out_of_time: &'q (dyn Fn() -> bool + Sync),
    ticks: AtomicU64,
    trouble: AtomicU8,
    request: OnceLock<Boxed<'q>>,
    identity: OnceLock<Boxed<'q>>,
    session: OnceLock<Boxed<'q>>,
    object: OnceLock<Boxed<'q>>,
    old_object: OnceLock<Boxed<'q>>,
}

const TOO_LONG: u8 = 1;
const TOO_LARGE: u8 = 2;
const NOT_READ: u8 = 3;
const UNREADABLE: u8 = 4;

impl<'q> Facts<'q> {
    /// Nothing is made yet.
    pub(in crate::policy) fn new(
        question: &Question<'q>,
        patterns: &'q [Pattern],
        out_of_time: &'q (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            question: *question,
            patterns,
            out_of_time,
            ticks: AtomicU64::new(0),
            trouble: AtomicU8::new(0),
            request: OnceLock::new(),
            identity: OnceLock::new(),
            session: OnceLock::new(),
            object: OnceLock::new(),
            old_object: OnceLock::new(),
        }
    }

    /// What went wrong, even if CEL made nothing of it. A limit once passed stays passed for all further conditions.
    pub(super) fn broken(&self) -> Option<Broken> {
        match self.trouble.load(Ordering::Relaxed) {
            TOO_LONG => Some(Broken::TooLong),
            TOO_LARGE => Some(Broken::TooLarge),
            NOT_READ => Some(Broken::NotRead),
            UNREADABLE => Some(Broken::Unreadable),
            _ => None,
        }
    }

    fn trouble(&self, trouble: u8) -> Option<CowVal<'_, '_>> {
        self.trouble.store(trouble, Ordering::Relaxed);
        None
    }

    /// Forgets what one condition lacked, so that the next one, which may not need it, is answered. Time is never given back.
    pub(in crate::policy) fn next_condition(&self) {
        if self.trouble.load(Ordering::Relaxed) != TOO_LONG {
            self.trouble.store(0, Ordering::Relaxed);
        }
    }

    fn tick(&self) -> bool {
        // A loop whose steps' errors are swallowed goes on to its end: it must cost nothing more.
        if self.trouble.load(Ordering::Relaxed) == TOO_LONG {
            return false;
        }
        let ticks = self.ticks.fetch_add(1, Ordering::Relaxed);
        if ticks >= limits::CEL_TICKS || (self.out_of_time)() {
            self.trouble.store(TOO_LONG, Ordering::Relaxed);
            return false;
        }
        true
    }

    fn object(&self) -> Result<&Boxed<'q>, u8> {
        if let Some(object) = self.object.get() {
            return Ok(object);
        }
        let object = match self.question.body {
            Body::Absent => Box::new(CelNull) as Boxed<'q>,
            Body::Unreadable | Body::Unknown => return Err(UNREADABLE),
            Body::Read { value, .. } => self.document(value)?,
        };
        Ok(self.object.get_or_init(|| object))
    }

    fn old_object(&self) -> Result<&Boxed<'q>, u8> {
        if let Some(object) = self.old_object.get() {
            return Ok(object);
        }
        let object = match self.question.live {
            Live::Absent => Box::new(CelNull) as Boxed<'q>,
            Live::NotRead => return Err(NOT_READ),
            Live::Present(value) => self.document(value)?,
        };
        Ok(self.old_object.get_or_init(|| object))
    }

    fn document(&self, value: &'q Value) -> Result<Boxed<'q>, u8> {
        if (self.out_of_time)() {
            return Err(TOO_LONG);
        }
        let info = self.question.info;
        // A Secret's values are nobody's business, not even a condition's.
        let is_secret = info.api_group.is_empty() && info.resource == "secrets"
            || value.get("kind").and_then(Value::as_str) == Some("Secret");
        let mut left = limits::CEL_INPUT_VALUES;
        convert(value, is_secret, &mut left, limits::BODY_DEPTH).ok_or(TOO_LARGE)
    }

    fn make_request(&self) -> Boxed<'q> {
        let Question { info, query, body, cluster, .. } = self.question;
        let mut parameters: HashMap<&'q str, Vec<Boxed<'q>>> = HashMap::new();
        for (name, value) in query {
            parameters.entry(name).or_default().push(text(value));
        }
        let parameters: HashMap<CelMapKey<'q>, Boxed<'q>> = parameters
            .into_iter()
            .map(|(name, values)| (CelMapKey::from(name), Box::new(CelList::from(values)) as Boxed<'q>))
            .collect();
        map([
            ("verb", text(info.verb.as_str())),
            ("apiGroup", text(&info.api_group)),
            ("apiVersion", text(&info.api_version)),
            ("namespace", text(&info.namespace)),
            ("resource", text(&info.resource)),
            ("subresource", text(&info.subresource)),
            ("name", text(&info.name)),
            ("path", text(&info.non_resource_path)),
            ("cluster", text(cluster)),
            ("contentType", text(body.content_type())),
            ("isResourceRequest", Box::new(CelBool::from(info.is_resource_request))),
            ("dryRun", Box::new(CelBool::from(risk::is_dry_run(query, body, info.verb)))),
            ("query", Box::new(CelMap::from(parameters))),
        ])
    }

    fn make_identity(&self) -> Boxed<'q> {
        let identity = self.question.identity;
        let pod = identity.pod();
        let ci = identity.ci();
        let claims: HashMap<CelMapKey<'q>, Boxed<'q>> = ci
            .into_iter()
            .flat_map(|ci| &ci.claims)
            .map(|(name, value)| (CelMapKey::from(name.as_str()), text(value)))
            .collect();
        map([
            ("cluster", text(&pod.cluster)),
            ("namespace", text(&pod.namespace)),
            ("serviceAccount", text(&pod.service_account)),
            ("pod", text(&pod.pod)),
            ("issuer", text(ci.map_or("", |ci| &ci.issuer))),
            ("subject", text(ci.map_or("", |ci| &ci.subject))),
            ("person", text(ci.and_then(|ci| ci.person.as_deref()).unwrap_or_default())),
            ("claims", Box::new(CelMap::from(claims))),
        ])
    }

    fn make_session(&self) -> Boxed<'q> {
        let session = self.question.session;
        let number = |value: u64| -> Boxed<'q> { Box::new(CelInt::from(i64::try_from(value).unwrap_or(i64::MAX))) };
        let did: Vec<Boxed<'q>> = session.did.iter().map(|word| text(word)).collect();
        map([
            ("ageSeconds", number(session.age_seconds)),
            ("operations", number(session.operations)),
            ("writes", number(session.writes)),
            ("holds", number(session.holds)),
            ("denials", number(session.denials)),
            ("riskSpent", number(session.risk_spent)),
            ("did", Box::new(CelList::from(did))),
            ("bypass", Box::new(CelBool::from(session.bypass))),
        ])
    }
}

impl VariableResolver for Facts<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            TICK => self.tick().then(|| CowVal::Borrowed(TRUE.get() as &dyn Val)),
            "request" => Some(CowVal::Borrowed(self.request.get_or_init(|| self.make_request()).as_ref())),
            "identity" => Some(CowVal::Borrowed(self.identity.get_or_init(|| self.make_identity()).as_ref())),
            "session" => Some(CowVal::Borrowed(self.session.get_or_init(|| self.make_session()).as_ref())),
            "object" => match self.object() {
                Ok(object) => Some(CowVal::Borrowed(object.as_ref())),
                Err(trouble) => self.trouble(trouble),
            },
            "oldObject" => match self.old_object() {
                Ok(object) => Some(CowVal::Borrowed(object.as_ref())),
                Err(trouble) => self.trouble(trouble),
            },
            other => {
                let index: usize = other.strip_prefix(PATTERN)?.parse().ok()?;
                Some(CowVal::Borrowed(self.patterns.get(index)? as &dyn Val))
            }
        }
    }
}

fn text(text: &str) -> Boxed<'_> {
    Box::new(CelString::from(text))
}

fn map<'q, const N: usize>(entries: [(&'static str, Boxed<'q>); N]) -> Boxed<'q> {
    let entries: HashMap<CelMapKey<'q>, Boxed<'q>> =
        entries.into_iter().map(|(name, value)| (CelMapKey::from(name), value)).collect();
    Box::new(CelMap::from(entries))
}

/// A JSON document as CEL values that borrow its texts. Nothing if it has more values, or is deeper, than conditions see.
fn convert<'q>(value: &'q Value, is_secret: bool, left: &mut usize, depth: usize) -> Option<Boxed<'q>> {
    *left = left.checked_sub(1)?;
    let depth = depth.checked_sub(1)?;
    Some(match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        // CEL counts with int; only what doesn't fit is another type.
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Box::new(CelInt::from(number)),
            (None, Some(number)) => Box::new(CelUInt::from(number)),
            (None, None) => Box::new(CelDouble::from(number.as_f64()?)),
        },
        Value::String(value) => text(value),
        Value::Array(list) => {
            let items: Option<Vec<Boxed<'q>>> = list.iter().map(|item| convert(item, false, left, depth)).collect();
            Box::new(CelList::from(items?))
        }
        Value::Object(object) => {
            let mut entries: HashMap<CelMapKey<'q>, Boxed<'q>> = HashMap::with_capacity(object.len());
            for (key, value) in object {
                let masked = is_secret && matches!(key.as_str(), "data" | "stringData");
                let value = if masked { mask(value, left)? } else { convert(value, false, left, depth)? };
                entries.insert(CelMapKey::from(key.as_str()), value);
            }
            Box::new(CelMap::from(entries))
        }
    })
}

/// The keys of a Secret, with nothing behind them.
fn mask<'q>(value: &'q Value, left: &mut usize) -> Option<Boxed<'q>> {
    let mut entries: HashMap<CelMapKey<'q>, Boxed<'q>> = HashMap::new();
    for (key, _) in value.as_object().into_iter().flatten() {
        *left = left.checked_sub(1)?;
        entries.insert(CelMapKey::from(key.as_str()), text("(masked)"));
    }
    Some(Box::new(CelMap::from(entries)))
}
