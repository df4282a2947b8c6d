//! The matrix of who may vote, row by row (SECURITY.md P8).

use std::time::Duration;

use super::*;

fn asker(person: Option<&str>) -> Asker {
    Asker {
        cluster: "prod".to_owned(),
        namespace: "ci".to_owned(),
        service_account: "runner".to_owned(),
        ci_issuer: Some("https://ci".to_owned()),
        ci_subject: Some("repo:1".to_owned()),
        person: person.map(str::to_owned),
    }
}

fn terms(quorum: u8) -> ApprovalTerms {
    let groups = ["sre".to_owned(), "leads".to_owned()].into();
    ApprovalTerms { groups, quorum, wait: Duration::from_secs(900) }
}

fn voter(subject: &str, person: Option<&str>, group: &str) -> Voter {
    Voter {
        issuer: "https://sso".to_owned(),
        subject: subject.to_owned(),
        person: person.map(str::to_owned),
        groups: [group.to_owned()].into(),
        via: Via::Oidc,
    }
}

fn local() -> Voter {
    Voter {
        issuer: "local".to_owned(),
        subject: "1000".to_owned(),
        person: None,
        groups: BTreeSet::new(),
        via: Via::LocalSocket,
    }
}

fn behind(kind: &str) -> Behind {
    match kind {
        "person" => Behind::Person { person: "7".to_owned() },
        "nobody" => Behind::Nobody,
        _ => Behind::Unmapped,
    }
}

fn verdict(kind: &str, mode: Mode, quorum: u8, before: &[Voter], voter: &Voter) -> String {
    let (terms, behind) = (terms(quorum), behind(kind));
    let asker = asker((kind == "person").then_some("7"));
    let mut votes: Vec<Vote> = before.iter().map(|voter| voter.vote(&terms, None, Timestamp(1))).collect();
    if let Err(refusal) = may_vote(&terms, &asker, &behind, mode, &votes, voter) {
        return format!("{refusal:?}").split([' ', '{']).next().unwrap().to_owned();
    }
    if has_voted(&votes, voter) {
        return "AlreadyVoted".to_owned();
    }
    votes.push(voter.vote(&terms, None, Timestamp(2)));
    if is_enough(&terms, &behind, mode, &votes) { "approved" } else { "counted" }.to_owned()
}

#[test]
fn matrix() {
    use Mode::{Serve, Try};
    let ann = || voter("ann", Some("1"), "sre");
    let ann_again = || voter("ann-admin", Some("1"), "leads");
    let bob = || voter("bob", Some("2"), "leads");
    let asker_himself = || voter("carl", Some("7"), "sre");
    let unmapped = |name| voter(name, None, "sre");
    let outsider = || voter("eve", Some("3"), "everyone");
    let own_token = || Voter { issuer: "https://ci".to_owned(), ..voter("repo:1", Some("9"), "sre") };
    let same_subject_elsewhere = || Voter { issuer: "https://other".to_owned(), ..voter("ann", None, "sre") };
    let rows = vec![
        // One approver, a person behind the job.
        ("person", Serve, 1, vec![], ann(), "approved"),
        ("person", Serve, 1, vec![], asker_himself(), "Asker"),
        ("person", Serve, 1, vec![], own_token(), "Asker"),
        ("person", Serve, 1, vec![], unmapped("dan"), "PersonUnknown"),
        ("person", Serve, 1, vec![], outsider(), "NotInGroup"),
        ("person", Serve, 1, vec![], local(), "LocalOnlyInTry"),
        ("person", Try, 1, vec![], local(), "approved"),
        // A quorum of two: people, not accounts.
        ("person", Serve, 2, vec![], ann(), "counted"),
        ("person", Serve, 2, vec![ann()], bob(), "approved"),
        ("person", Serve, 2, vec![ann()], ann(), "AlreadyVoted"),
        ("person", Serve, 2, vec![ann()], ann_again(), "AlreadyVoted"),
        ("person", Serve, 2, vec![ann()], asker_himself(), "Asker"),
        ("person", Serve, 2, vec![ann()], outsider(), "NotInGroup"),
        ("person", Try, 2, vec![], local(), "LocalInQuorum"),
        ("person", Serve, 0, vec![], ann(), "approved"),
        // Nobody mapped: two, since one of them may be the asker.
        ("unmapped", Serve, 1, vec![], ann(), "counted"),
        ("unmapped", Serve, 1, vec![ann()], bob(), "approved"),
        ("unmapped", Serve, 1, vec![ann()], ann_again(), "AlreadyVoted"),
        ("unmapped", Serve, 1, vec![unmapped("dan")], unmapped("fay"), "approved"),
        ("unmapped", Serve, 1, vec![unmapped("dan")], unmapped("dan"), "AlreadyVoted"),
        ("unmapped", Serve, 1, vec![ann()], same_subject_elsewhere(), "approved"),
        ("unmapped", Serve, 1, vec![], own_token(), "Asker"),
        ("unmapped", Serve, 0, vec![], ann(), "counted"),
        ("unmapped", Serve, 3, vec![ann()], bob(), "counted"),
        ("unmapped", Try, 1, vec![], local(), "approved"),
        // Policy says that no person stands behind the job.
        ("nobody", Serve, 1, vec![], ann(), "approved"),
        ("nobody", Serve, 1, vec![], unmapped("dan"), "approved"),
        ("nobody", Serve, 1, vec![], own_token(), "Asker"),
        ("nobody", Serve, 2, vec![ann()], ann_again(), "AlreadyVoted"),
        // Socket and OIDC never stand side by side.
        ("unmapped", Try, 1, vec![ann()], local(), "LocalBesideOthers"),
        ("unmapped", Try, 1, vec![local()], ann(), "LocalBesideOthers"),
        ("unmapped", Try, 1, vec![local()], local(), "LocalBesideOthers"),
    ];
    for (number, (kind, mode, quorum, before, voter, expected)) in rows.into_iter().enumerate() {
        let got = verdict(kind, mode, quorum, &before, &voter);
        assert_eq!(got, expected, "row {number}: {kind} {mode:?} quorum {quorum} {before:?} then {voter:?}");
    }
}

/// Votes that are counted again under other terms, or from a record: the same people, nobody twice, never the asker.
#[test]
fn counting_does_not_trust_the_list() {
    let terms = terms(2);
    let vote = |voter: &Voter| voter.vote(&terms, None, Timestamp(1));
    let person = behind("person");
    let twice = [vote(&voter("ann", Some("1"), "sre")), vote(&voter("ann2", Some("1"), "sre"))];
    assert!(!is_enough(&terms, &person, Mode::Serve, &twice));
    let with_asker = [vote(&voter("ann", Some("1"), "sre")), vote(&voter("carl", Some("7"), "sre"))];
    assert!(!is_enough(&terms, &person, Mode::Serve, &with_asker));
    let with_unknown = [vote(&voter("ann", Some("1"), "sre")), vote(&voter("dan", None, "sre"))];
    assert!(!is_enough(&terms, &person, Mode::Serve, &with_unknown));
    let fine = [vote(&voter("ann", Some("1"), "sre")), vote(&voter("bob", Some("2"), "leads"))];
    assert!(is_enough(&terms, &person, Mode::Serve, &fine));
    let narrower = ApprovalTerms { groups: ["leads".to_owned()].into(), ..terms.clone() };
    assert!(!is_enough(&narrower, &person, Mode::Serve, &fine), "one of them is not in today's group");
    let local = [vote(&local())];
    let one = ApprovalTerms { quorum: 1, ..terms };
    assert!(is_enough(&one, &person, Mode::Try, &local));
    assert!(!is_enough(&one, &person, Mode::Serve, &local), "a database of `try` under `serve`");
}

#[test]
fn a_mapped_person_wins_over_nobody() {
    assert_eq!(Behind::of(&asker(Some("7")), true), behind("person"));
    assert_eq!(Behind::of(&asker(None), true), Behind::Nobody);
    assert_eq!(Behind::of(&asker(None), false), Behind::Unmapped);
}
