//! Names in a condition, checked when the policy is loaded: CEL itself would only tell at run time, and then by an error.

use cel::Program;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::rewrite::children;
use super::{CelMistake, whole};
use crate::policy::mistake::suggestion;
use crate::risk::verbs;

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Bool,
    Map,
    List,
}

/// A field and what it holds.
type Field = (&'static str, Kind);

/// A variable whose fields are fixed.
type Fixed = (&'static str, &'static [Field]);

const FIXED: [Fixed; 3] = [("request", REQUEST), ("identity", IDENTITY), ("session", SESSION)];

/// Fields of `request`.
const REQUEST: &[Field] = &[
    ("verb", Kind::Text),
    ("apiGroup", Kind::Text),
    ("apiVersion", Kind::Text),
    ("namespace", Kind::Text),
    ("resource", Kind::Text),
    ("subresource", Kind::Text),
    ("name", Kind::Text),
    ("path", Kind::Text),
    ("cluster", Kind::Text),
    ("contentType", Kind::Text),
    ("isResourceRequest", Kind::Bool),
    ("dryRun", Kind::Bool),
    ("query", Kind::Map),
];

/// Fields of `identity`.
const IDENTITY: &[Field] = &[
    ("cluster", Kind::Text),
    ("namespace", Kind::Text),
    ("serviceAccount", Kind::Text),
    ("pod", Kind::Text),
    ("issuer", Kind::Text),
    ("subject", Kind::Text),
    ("person", Kind::Text),
    ("claims", Kind::Map),
];

/// Fields of `session`.
const SESSION: &[Field] = &[
    ("ageSeconds", Kind::Number),
    ("operations", Kind::Number),
    ("writes", Kind::Number),
    ("holds", Kind::Number),
    ("denials", Kind::Number),
    ("riskSpent", Kind::Number),
    ("did", Kind::List),
    ("bypass", Kind::Bool),
];

const VARIABLES: [&str; 5] = ["request", "identity", "object", "oldObject", "session"];

const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

const FUNCTIONS: [&str; 13] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];

/// Macros that were called in a way that none of them has.
const MACROS: [&str; 6] = ["all", "exists", "exists_one", "filter", "has", "map"];

/// Every wrong name in the program.
pub(super) fn names(program: &Program, source: &str) -> Vec<CelMistake> {
    let mut check = Check { program, source, scope: Vec::new(), mistakes: Vec::new() };
    check.walk(program.expression());
    check.mistakes
}

/// A mistake at an expression's place.
pub(super) fn mistake(program: &Program, source: &str, id: u64, message: String) -> CelMistake {
    let Some((start, _)) = program.source_info().offset_for(id) else { return whole(message) };
    let start = usize::try_from(start).unwrap_or(0);
    let before: String = source.chars().take(start).collect();
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    CelMistake { line, column, message }
}

struct Check<'p> {
    program: &'p Program,
    source: &'p str,
    /// Loop variables that are known here.
    scope: Vec<String>,
    mistakes: Vec<CelMistake>,
}

impl Check<'_> {
    fn wrong(&mut self, at: &IdedExpr, message: String) {
        let mistake = mistake(self.program, self.source, at.id, message);
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    fn walk(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Ident(name) => self.variable(expression, name),
            Expr::Select(select) => self.select(expression, select),
            Expr::Call(call) => self.call(expression, call),
            Expr::Comprehension(comprehension) => {
                self.walk(&comprehension.iter_range);
                self.walk(&comprehension.accu_init);
                let outer = self.scope.len();
                self.scope.push(comprehension.iter_var.clone());
                self.scope.extend(comprehension.iter_var2.clone());
                self.scope.push(comprehension.accu_var.clone());
                self.walk(&comprehension.loop_cond);
                self.walk(&comprehension.loop_step);
                self.walk(&comprehension.result);
                self.scope.truncate(outer);
                return;
            }
            Expr::Struct(made) => {
                self.wrong(expression, format!("there is no type \"{}\"", made.type_name));
            }
            Expr::Unspecified | Expr::List(_) | Expr::Literal(_) | Expr::Map(_) => {}
        }
        for child in children(expression) {
            self.walk(child);
        }
    }

    fn is_loop_variable(&self, name: &str) -> bool {
        self.scope.iter().any(|known| known == name)
    }

    fn variable(&mut self, at: &IdedExpr, name: &str) {
        if self.is_loop_variable(name) || VARIABLES.contains(&name) || TYPES.contains(&name) {
            return;
        }
        let known = VARIABLES
            .iter()
            .copied()
            .chain(self.scope.iter().map(String::as_str).filter(|name| !name.starts_with('@')));
        let help = suggestion(name, known);
        self.wrong(at, format!("there is no variable \"{name}\", only {}{help}", VARIABLES.join(", ")));
    }

    /// The fields that a variable has, if they are fixed.
    fn fields(&self, expression: &IdedExpr) -> Option<Fixed> {
        let Expr::Ident(name) = &expression.expr else { return None };
        if self.is_loop_variable(name) {
            return None;
        }
        FIXED.iter().find(|(variable, _)| variable == name).copied()
    }

    /// `request.verb` or `request["verb"]`: the variable and the field.
    fn field(&self, expression: &IdedExpr) -> Option<(&'static str, Option<Field>, String)> {
        let (owner, name) = if let Expr::Select(select) = &expression.expr {
            (&*select.operand, select.field.clone())
        } else if let Expr::Call(CallExpr { func_name, args, .. }) = &expression.expr
            && func_name == operators::INDEX
            && let [owner, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] = args.as_slice()
        {
            (owner, name.inner().to_owned())
        } else {
            return None;
        };
        let (variable, fields) = self.fields(owner)?;
        Some((variable, fields.iter().find(|(field, _)| *field == name).copied(), name))
    }

    fn select(&mut self, at: &IdedExpr, select: &SelectExpr) {
        self.known_field(at);
        // A field of a field: only maps have some.
        if let Some((variable, Some((field, kind)), _)) = self.field(&select.operand)
            && kind != Kind::Map
        {
            self.wrong(at, format!("`{variable}.{field}` has no fields"));
        }
    }

    fn known_field(&mut self, at: &IdedExpr) {
        if let Some((variable, None, name)) = self.field(at) {
            let known = FIXED.iter().find(|(owner, _)| *owner == variable).map_or(&[][..], |(_, fields)| fields);
            let help = suggestion(&name, known.iter().map(|(field, _)| *field));
            let names: Vec<&str> = known.iter().map(|(field, _)| *field).collect();
            self.wrong(at, format!("`{variable}` has no field \"{name}\", only {}{help}", names.join(", ")));
        }
    }

    fn call(&mut self, at: &IdedExpr, call: &CallExpr) {
        let name = call.func_name.as_str();
        if name == operators::INDEX {
            self.known_field(at);
        }
        if let (operators::EQUALS | operators::NOT_EQUALS, [left, right]) = (name, call.args.as_slice()) {
            self.comparison(left, right);
            self.comparison(right, left);
        }
        if let (operators::IN, [left, IdedExpr { expr: Expr::List(list), .. }]) = (name, call.args.as_slice()) {
            for element in &list.elements {
                self.comparison(left, element);
            }
        }
        let is_operator = name.starts_with(['_', '@', '!', '-']);
        if is_operator || FUNCTIONS.contains(&name) {
            return;
        }
        if MACROS.contains(&name) {
            self.wrong(at, format!("`{name}` is called with the wrong arguments: `list.{name}(x, condition on x)`"));
            return;
        }
        let help = suggestion(name, FUNCTIONS.into_iter().chain(MACROS));
        self.wrong(at, format!("there is no function \"{name}\"{help}"));
    }

    /// A field of known type compared with a literal that it can never equal is a typo that CEL answers with `false`.
    fn comparison(&mut self, field: &IdedExpr, literal: &IdedExpr) {
        let Some((variable, Some((name, kind)), _)) = self.field(field) else { return };
        let Expr::Literal(value) = &literal.expr else { return };
        let fits = match (kind, value) {
            (Kind::Text, LiteralValue::String(text)) => {
                if variable == "request" && name == "verb" && verbs::parse(text.inner()).is_none() {
                    let help = suggestion(text.inner(), verbs::EVERY.iter().map(|verb| verb.as_str()));
                    self.wrong(literal, format!("no request has the verb \"{}\"{help}", text.inner()));
                }
                true
            }
            (Kind::Number, LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_))
            | (Kind::Bool, LiteralValue::Boolean(_)) => true,
            _ => false,
        };
        if !fits {
            let word = match kind {
                Kind::Text => "text",
                Kind::Number => "number",
                Kind::Bool => "truth value",
                Kind::Map => "map",
                Kind::List => "list",
            };
            self.wrong(literal, format!("`{variable}.{name}` is a {word}, it never equals this"));
        }
    }
}
