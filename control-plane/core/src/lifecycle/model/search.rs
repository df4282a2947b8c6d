//! Breadth-first search with parent pointers: every reachable state once, and the shortest way to a bad one.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

/// What a search saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) states: usize,
    pub(super) transitions: usize,
    pub(super) depth: u32,
}

/// A property does not hold.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) what: String,
    /// The actions that lead there, first to last.
    pub(super) trace: Vec<String>,
}

struct Node<S, A> {
    state: S,
    parent: usize,
    action: Option<A>,
    depth: u32,
}

/// Explores everything reachable. `next` gives the successors of a state, `check` says what is wrong with one.
///
/// Panics when there are more than `bound` states: a space that is not explored whole proves nothing.
pub(super) fn explore<S, A, M>(
    model: &mut M,
    initial: S,
    bound: usize,
    next: impl Fn(&mut M, &S, &mut Vec<(A, S)>),
    check: impl Fn(&mut M, &S) -> Result<(), String>,
) -> Result<Seen, Broken>
where
    S: Copy + Eq + Hash,
    A: Copy + Debug,
{
    let mut index: HashMap<S, usize> = HashMap::from([(initial, 0)]);
    let mut nodes = vec![Node { state: initial, parent: 0, action: None, depth: 0 }];
    let (mut at, mut transitions, mut successors) = (0, 0, Vec::new());
    while at < nodes.len() {
        let (state, depth) = (nodes[at].state, nodes[at].depth);
        if let Err(what) = check(model, &state) {
            return Err(Broken { what, trace: trace(&nodes, at) });
        }
        next(model, &state, &mut successors);
        for (action, state) in successors.drain(..) {
            transitions += 1;
            index.entry(state).or_insert_with(|| {
                nodes.push(Node { state, parent: at, action: Some(action), depth: depth + 1 });
                nodes.len() - 1
            });
        }
        assert!(nodes.len() <= bound, "more than {bound} states");
        at += 1;
    }
    let depth = nodes.last().map_or(0, |node| node.depth);
    Ok(Seen { states: nodes.len(), transitions, depth })
}

fn trace<S, A: Debug>(nodes: &[Node<S, A>], mut at: usize) -> Vec<String> {
    let mut trace = Vec::new();
    while let Some(action) = &nodes[at].action {
        trace.push(format!("{action:?}"));
        at = nodes[at].parent;
    }
    trace.reverse();
    trace
}
