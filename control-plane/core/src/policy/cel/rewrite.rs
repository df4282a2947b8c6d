//! Changes to the parsed expression: every loop counts, every pattern is compiled.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use shared::limits;

use super::{MATCHES, PATTERN, Pattern, Patterns, TICK};

/// Puts a look at [`TICK`] before what each loop does in a step. Not into the loop's own condition, which would lose the interpreter's
/// fast path, and not with `&&`, which swallows errors: `@tick ? step : false` doesn't look at the step when the tick fails.
///
/// # Errors
///
/// Loops nest too deep, or have a shape that no macro makes: nothing is run that can't be counted.
pub(super) fn count_loops(expression: &mut IdedExpr) -> Result<(), String> {
    count(expression, limits::CEL_LOOP_NESTING)
}

fn count(expression: &mut IdedExpr, left: usize) -> Result<(), String> {
    if let Expr::Comprehension(comprehension) = &mut expression.expr {
        let inner = left
            .checked_sub(1)
            .ok_or_else(|| format!("more than {} loops inside each other", limits::CEL_LOOP_NESTING))?;
        // The range is walked before the loop, not in it.
        count(&mut comprehension.iter_range, left)?;
        count(&mut comprehension.accu_init, left)?;
        count(&mut comprehension.loop_cond, inner)?;
        count(&mut comprehension.loop_step, inner)?;
        count(&mut comprehension.result, left)?;
        return guard(comprehension).ok_or_else(|| "has a loop that can't be counted".to_owned());
    }
    for child in children_mut(expression) {
        count(child, left)?;
    }
    Ok(())
}

fn guard(comprehension: &mut ComprehensionExpr) -> Option<()> {
    let Expr::Call(step) = &mut comprehension.loop_step.expr else { return None };
    let what = match (step.func_name.as_str(), step.args.as_mut_slice()) {
        // all, exists: `@result && what`.
        (operators::LOGICAL_AND | operators::LOGICAL_OR, [_, what]) => what,
        // filter, exists_one, map with a condition: `what ? … : @result`.
        (operators::CONDITIONAL, [what, _, _]) => what,
        // map: `@result + [what]`.
        (operators::ADD, [_, IdedExpr { expr: Expr::List(list), .. }]) => match list.elements.as_mut_slice() {
            [what] => what,
            _ => return None,
        },
        _ => return None,
    };
    let id = what.id;
    let inner = std::mem::take(what);
    *what = IdedExpr {
        id,
        expr: Expr::Call(CallExpr {
            func_name: operators::CONDITIONAL.to_owned(),
            target: None,
            args: vec![
                IdedExpr { id, expr: Expr::Ident(TICK.to_owned()) },
                inner,
                IdedExpr { id, expr: Expr::Literal(LiteralValue::Boolean(false.into())) },
            ],
        }),
    };
    Some(())
}

/// Compiles the patterns of `matches` and points the calls at them.
///
/// # Errors
///
/// The id of the expression and what is wrong: the pattern isn't a constant, or isn't a pattern.
pub(super) fn compile_patterns(expression: &mut IdedExpr, patterns: &mut Patterns) -> Result<(), (u64, String)> {
    let id = expression.id;
    if let Expr::Call(call) = &mut expression.expr
        && call.func_name == "matches"
    {
        let mut arguments: Vec<IdedExpr> =
            call.target.take().map(|target| *target).into_iter().chain(call.args.drain(..)).collect();
        let pattern = match arguments.pop() {
            Some(IdedExpr { expr: Expr::Literal(LiteralValue::String(pattern)), .. }) if arguments.len() == 1 => {
                pattern
            }
            _ => {
                return Err((
                    id,
                    "`matches` takes one pattern, written out as a text, so that it is compiled once".to_owned(),
                ));
            }
        };
        let compiled = regex::RegexBuilder::new(pattern.inner())
            .size_limit(limits::CEL_REGEX_BYTES)
            .dfa_size_limit(limits::CEL_REGEX_BYTES)
            .build()
            .map_err(|error| (id, format!("the pattern can't be used: {error}")))?;
        arguments.push(IdedExpr { id, expr: Expr::Ident(format!("{PATTERN}{}", patterns.len())) });
        patterns.push(Pattern(compiled));
        *call = CallExpr { func_name: MATCHES.to_owned(), target: None, args: arguments };
    }
    for child in children_mut(expression) {
        compile_patterns(child, patterns)?;
    }
    Ok(())
}

/// The parts of an expression.
pub(super) fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(loop_) => {
            vec![&loop_.iter_range, &loop_.accu_init, &loop_.loop_cond, &loop_.loop_step, &loop_.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_children(&entry.expr)).collect(),
        Expr::Struct(fields) => fields.entries.iter().flat_map(|entry| entry_children(&entry.expr)).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn entry_children(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

fn children_mut(expression: &mut IdedExpr) -> Vec<&mut IdedExpr> {
    match &mut expression.expr {
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).collect(),
        Expr::Comprehension(loop_) => vec![
            &mut loop_.iter_range,
            &mut loop_.accu_init,
            &mut loop_.loop_cond,
            &mut loop_.loop_step,
            &mut loop_.result,
        ],
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => map.entries.iter_mut().flat_map(|entry| entry_children_mut(&mut entry.expr)).collect(),
        Expr::Struct(fields) => {
            fields.entries.iter_mut().flat_map(|entry| entry_children_mut(&mut entry.expr)).collect()
        }
        Expr::Select(select) => vec![&mut select.operand],
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn entry_children_mut(entry: &mut EntryExpr) -> Vec<&mut IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&mut field.value],
        EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
    }
}
