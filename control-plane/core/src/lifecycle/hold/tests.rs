//! Which holds are whose.

use super::super::fixtures::*;
use super::super::tests::{attributes, yes};
use super::*;
use crate::decision::{Decision, Effect, Verdict};

/// A value is shown to the job that people saw. A restarted sidecar of its pod is that job; another pod of its ServiceAccount is not.
#[test]
fn a_disclosure_is_for_one_pod() {
    let live = serde_json::json!({"metadata": {"uid": "u", "resourceVersion": "1"}});
    let shown = VersionPin::of_reveal(Some(&live), &["a".to_owned()].into());
    for pin in [shown, VersionPin::Absent] {
        let open = |pod: Option<&str>| {
            let opening = Opening { pin: pin.clone(), only_pod: pod.map(str::to_owned), ..opening(key(1, 1), 1) };
            HoldRecord::open(opening, Waiting::default(), T0).unwrap().0
        };
        let candidate = |session, pod: Option<&str>| {
            let only_pod = pod.map(str::to_owned);
            Candidate { pin: pin.clone(), only_pod, ..candidate(key(session, 2)) }
        };
        let waiting = open(Some("pod-1"));
        for hold in [&waiting, &yes(&waiting, "1", T0).unwrap()] {
            let joins = |candidate| matches!(hold.join(&candidate, T0), Join::Wait(_));
            assert!(joins(candidate(1, Some("pod-1"))) && joins(candidate(2, Some("pod-1"))));
            assert_eq!(hold.join(&candidate(2, Some("pod-2")), T0), Join::Not);
            assert_eq!(hold.join(&candidate(2, None), T0), Join::Not);
        }
        let text = serde_json::to_value(&waiting).unwrap();
        assert_eq!(text["onlyPod"], "pod-1");
        assert_eq!(serde_json::from_value::<HoldRecord>(text).unwrap(), waiting);
        // Written by a version that did not note the pod.
        let before = open(None);
        assert_eq!(before.join(&candidate(2, Some("pod-1")), T0), Join::Not);
        assert!(matches!(before.join(&candidate(1, Some("pod-1")), T0), Join::Wait(_)));
    }
}

#[test]
fn only_a_disclosure_is_for_one_pod() {
    let only_pod = |reveal: &[&str]| {
        let reveal = reveal.iter().map(|key| (*key).to_owned()).collect();
        match attributes().decide(Verdict { reveal, ..verdict(Effect::Hold, Some(terms(1))) }) {
            Decision::Hold(hold) => hold.only_pod(),
            Decision::Allow(_) | Decision::Deny(_) => panic!("not held"),
        }
    };
    assert_eq!(only_pod(&["password"]).as_deref(), Some("u"));
    assert_eq!(only_pod(&[]), None);
}
