use super::*;
use crate::store::Start;

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const LATER: Timestamp = Timestamp(NOW.0 + 60_000);
const EXPIRES: Timestamp = Timestamp(NOW.0 + 3_600_000);

fn cluster(uid: &str) -> PinnedCluster {
    PinnedCluster { uid: uid.to_owned(), issuer: "https://issuer".to_owned(), keys: "{\"keys\":[]}".to_owned() }
}

fn new(name: &str, hash: u8) -> NewEnrolment {
    NewEnrolment {
        name: name.to_owned(),
        hash: [hash; 32],
        asked: NOW,
        asked_by: "uid 0".to_owned(),
        expires: EXPIRES,
        require_ci: true,
        adopt_keys: false,
    }
}

async fn spend(store: &Store, hash: u8, uid: &str, now: Timestamp) -> Spending {
    store.enrol([hash; 32], cluster(uid), "192.0.2.1".to_owned(), now).await.unwrap()
}

#[tokio::test]
async fn a_token_is_spent_by_one_cluster_and_found_spent_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = Store::open(folder.path(), Start::Ordinary, NOW).unwrap();
    assert_eq!(store.ask_enrolment(new("a", 1)).await.unwrap(), AskedFor::Yes);
    assert!(matches!(spend(&store, 9, "one", LATER).await, Spending::Unknown));
    // Two replicas at once: one spends it, the other finds it spent by its own cluster.
    let (first, second) = tokio::join!(spend(&store, 1, "one", LATER), spend(&store, 1, "one", LATER));
    let pair = (&first, &second);
    let fits = matches!(pair, (Spending::Now(_), Spending::Before(_)) | (Spending::Before(_), Spending::Now(_)));
    assert!(fits, "{pair:?}");
    assert!(matches!(spend(&store, 1, "two", LATER).await, Spending::ByAnother));
    let other_keys = PinnedCluster { keys: "{}".to_owned(), ..cluster("one") };
    let spending = store.enrol([1; 32], other_keys, String::new(), LATER).await.unwrap();
    assert!(matches!(spending, Spending::ByAnother), "{spending:?}");
    // After its time it is still the cluster's.
    assert!(matches!(spend(&store, 1, "one", EXPIRES).await, Spending::Before(_)));
    // The next process knows.
    drop(store);
    let (store, _writer) = Store::open(folder.path(), Start::Ordinary, LATER).unwrap();
    let rows = store.enrolments().await.unwrap();
    let enrolled = rows[0].enrolled.as_ref().unwrap();
    assert_eq!((rows.len(), &enrolled.pinned, enrolled.at), (1, &cluster("one"), LATER));
    assert!(matches!(spend(&store, 1, "two", LATER).await, Spending::ByAnother));
    assert_eq!(store.ask_enrolment(new("a", 2)).await.unwrap(), AskedFor::Enrolled);
    // A cluster has one name.
    assert_eq!(store.ask_enrolment(new("b", 2)).await.unwrap(), AskedFor::Yes);
    assert!(matches!(spend(&store, 2, "one", LATER).await, Spending::TwoNames));
    // Forgotten, it may come again, with another token.
    assert!(store.end_enrolment("a", "forgotten".to_owned(), LATER).await.unwrap().is_some());
    assert!(store.end_enrolment("a", "forgotten".to_owned(), LATER).await.unwrap().is_none());
    assert!(matches!(spend(&store, 1, "one", LATER).await, Spending::Ended));
    assert!(matches!(spend(&store, 2, "one", LATER).await, Spending::Now(_)));
}

#[tokio::test]
async fn a_token_has_its_time_and_may_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = Store::open(folder.path(), Start::Ordinary, NOW).unwrap();
    store.ask_enrolment(new("a", 1)).await.unwrap();
    assert!(matches!(spend(&store, 1, "one", EXPIRES).await, Spending::Expired(EXPIRES)));
    assert_eq!(store.ask_enrolment(new("a", 2)).await.unwrap(), AskedFor::Replaced);
    assert!(matches!(spend(&store, 1, "one", LATER).await, Spending::Ended));
    for number in 0..limits::ENROLMENTS_WAITING - 1 {
        let asked = store.ask_enrolment(new(&format!("more-{number}"), 10 + number as u8)).await.unwrap();
        assert_eq!(asked, AskedFor::Yes, "{number}");
    }
    assert_eq!(store.ask_enrolment(new("one-too-many", 250)).await.unwrap(), AskedFor::TooMany);
    // What has expired makes room.
    let late = NewEnrolment { asked: EXPIRES, expires: EXPIRES.after(limits::ENROLMENT_LIFE), ..new("late", 251) };
    assert_eq!(store.ask_enrolment(late).await.unwrap(), AskedFor::Yes);
    assert_eq!(store.enrolments().await.unwrap().len(), 1);
    // A backup's tokens are void: they may have been spent since.
    drop(store);
    let (store, _writer) = Store::open(folder.path(), Start::Restored, EXPIRES).unwrap();
    assert!(matches!(spend(&store, 251, "one", EXPIRES).await, Spending::Ended));
    assert!(matches!(spend(&store, 2, "one", EXPIRES).await, Spending::Expired(EXPIRES)), "its holder hears why");
}

#[tokio::test]
async fn what_is_over_is_kept_up_to_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _writer) = Store::open(folder.path(), Start::Ordinary, NOW).unwrap();
    for number in 0..limits::ENROLMENTS_ENDED + 10 {
        let mut hash = [7; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        store.ask_enrolment(NewEnrolment { hash, ..new("a", 0) }).await.unwrap();
    }
    let count: i64 =
        store.read(|c| Ok(c.query_row("SELECT count(*) FROM enrolments", [], |row| row.get(0))?)).await.unwrap();
    assert_eq!(count, limits::ENROLMENTS_ENDED + 1);
}
