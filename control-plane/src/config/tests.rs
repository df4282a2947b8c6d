use super::*;

/// The file that operators start from says everything that can be said, and nothing that can't.
#[test]
fn the_example_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/control-plane/config.yaml");
    // What it names is not there, so its text alone is read.
    let config = Config::parse(&std::fs::read_to_string(&path).unwrap(), path.parent().unwrap()).unwrap();
    assert_eq!((config.ci_issuers.len(), config.approver_issuers.len(), config.names.len()), (2, 1, 1));
    assert!(!config.ci_issuers.iter().chain(&config.approver_issuers).any(|i| i.danger_allow_private_address));
    assert!(config.web_names().contains(&"sallyport.example.com".to_owned()));
    assert_eq!(config.address().as_deref(), Some("sallyport.example.com:7443"));
    // Taken away one by one, nothing is missed silently: the words below are all that the raw form has.
    let text = std::fs::read_to_string(&path).unwrap();
    for word in [
        "data",
        "policy",
        "listen",
        "quic",
        "web",
        "admin",
        "names",
        "clusters",
        "name",
        "uid",
        "issuer",
        "keys",
        "agent",
        "requireCi",
        "adoptKeys",
        "ciIssuers",
        "audience",
        "kind",
        "ca",
        "require",
        "person",
        "approverIssuers",
        "groups",
        "auditorGroups",
        "localSocket",
        "path",
        "uids",
    ] {
        assert!(text.contains(&format!("{word}:")), "{word} is not explained");
    }
}

#[test]
fn without_a_cluster_there_is_a_way_to_enrol_one() {
    let text = |more: &str| {
        format!("data: d\nlisten: {{quic: '127.0.0.1:0', web: '127.0.0.1:0', admin: '127.0.0.1:0'}}\n{more}")
    };
    let issuer = "approverIssuers: [{issuer: 'https://x', audience: a, groups: g}]\n";
    let problems = Config::parse(&text(issuer), Path::new("/")).unwrap_err();
    assert!(problems.to_string().contains("clusters: name at least one cluster, or a localSocket"), "{problems}");
    let socket = "localSocket: {path: s, uids: [0], groups: [g]}\n";
    assert!(Config::parse(&text(socket), Path::new("/")).unwrap().clusters.is_empty());
}

#[test]
fn mistakes_are_told_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    let text = "data: d
policy: p
ca: nowhere
listen: {quic: here, web: '127.0.0.1:0', admin: '127.0.0.1:0', names: ['a b']}
clusters: [{name: A, uid: '', issuer: i, keys: k, agent: agent}]
ciIssuers: [{issuer: 'http://x', audience: '', kind: github}, {issuer: 'https://x', audience: a, kind: bitbucket}]
approverIssuers: [{issuer: 'https://x', audience: a}]
";
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("p"), "rules: []\n").unwrap();
    let problems = Config::check(&path).unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    for key in [
        "listen.quic",
        "listen.names[0]",
        "clusters[0].name",
        "clusters[0].uid",
        "clusters[0].agent",
        "ciIssuers[0].issuer",
        "ciIssuers[0].audience",
        "ciIssuers[0].require",
        "ciIssuers[1].kind",
        "approverIssuers[0].groups",
        // And what the file names.
        "clusters[A].keys",
        "ca",
        "policy",
    ] {
        assert!(keys.contains(&key), "{key}: {keys:?}");
    }
}
