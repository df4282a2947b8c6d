use super::*;
use crate::lifecycle::{NotSent, Unknown};

const HELD: Scenario = Scenario {
    held: true,
    operations: 1,
    approvals_denied: false,
    starts: 2,
    agent_crashes: 0,
    connections: 2,
    grants: 2,
    times: &[0, 1000],
    restore: None,
    mutation: None,
    bound: 2_000_000,
};

fn holds(name: &str, scenario: Scenario) -> BTreeSet<(u8, Outcome)> {
    let mut model = Model::new(scenario);
    match model.run() {
        Ok(seen) => println!("{name}: {seen:?}"),
        Err(broken) => panic!("{name}: {}\n  {}", broken.what, broken.trace.join("\n  ")),
    }
    model.outcomes
}

#[test]
fn small() {
    let outcomes = holds("held", HELD);
    println!("{outcomes:?}");
}
#[test]
fn size() {
    println!("{}", size_of::<World>());
}
