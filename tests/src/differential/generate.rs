//! Methods and request targets, from the ordinary to the malicious, out of one seed.

#![expect(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a generator of test input: every index is drawn below its bound or found at a character's boundary"
)]

use std::fmt;

/// A method and a request target, as they stand in the request line.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pair {
    /// Any token.
    pub method: String,
    /// Path and query.
    pub target: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

const METHODS: [(&str, u32); 12] = [
    ("GET", 52),
    ("POST", 14),
    ("PUT", 8),
    ("PATCH", 8),
    ("DELETE", 12),
    ("HEAD", 2),
    ("OPTIONS", 1),
    ("TRACE", 1),
    ("PROPFIND", 1),
    ("get", 1),
    ("LIST", 1),
    ("WATCH", 1),
];

const GROUPS: [&str; 14] = [
    "api/v1",
    "api/v1",
    "api/v1",
    "apis/apps/v1",
    "apis/rbac.authorization.k8s.io/v1",
    "apis/batch/v1",
    "apis/authentication.k8s.io/v1",
    "apis/authorization.k8s.io/v1",
    "apis/admissionregistration.k8s.io/v1",
    "apis/apiextensions.k8s.io/v1",
    "apis/example.com/v1alpha1",
    "apis/extensions/v1beta1",
    "api/v2",
    "apis/a-b.c.d/v1",
];

const RESOURCES: [&str; 26] = [
    "pods",
    "secrets",
    "configmaps",
    "services",
    "serviceaccounts",
    "nodes",
    "namespaces",
    "events",
    "endpoints",
    "deployments",
    "daemonsets",
    "roles",
    "clusterroles",
    "clusterrolebindings",
    "jobs",
    "bindings",
    "selfsubjectaccessreviews",
    "tokenreviews",
    "customresourcedefinitions",
    "widgets",
    "status",
    "finalize",
    "watch",
    "proxy",
    "Pods",
    "pod_metrics.x",
];

const SUBRESOURCES: [&str; 20] = [
    "status",
    "scale",
    "log",
    "exec",
    "attach",
    "portforward",
    "proxy",
    "eviction",
    "binding",
    "token",
    "finalize",
    "ephemeralcontainers",
    "resize",
    "approval",
    "proxy/a/b",
    "proxy/a/",
    "log/x",
    "exec/x/y",
    "watch",
    "Exec",
];

const NAMES: [&str; 30] = [
    "x",
    "x",
    "x",
    "my-pod-0",
    "system:node",
    "kube-system",
    "default",
    "a.b.c",
    "*",
    "a%20b",
    "a%3Ab",
    "https:web:443",
    "web:80",
    "a%2Fb",
    "a%252Fb",
    "%2e%2e",
    "..",
    ".",
    "...",
    "a%3Fb",
    "a%23b",
    "%C3%A9",
    "é",
    "a;b",
    "a+b",
    "a,b=c",
    "a@b",
    "%41",
    "a%5Cb",
    "$HOME!'()",
];

const NAMESPACES: [&str; 12] = [
    "default",
    "default",
    "kube-system",
    "d",
    "a-b-c",
    "x",
    "Default",
    "d%65fault",
    "d.e",
    "_all",
    "-",
    "kube-system%2Fsecrets",
];

const KEYS: [&str; 30] = [
    "watch",
    "watch",
    "limit",
    "fieldSelector",
    "fieldSelector",
    "labelSelector",
    "resourceVersion",
    "resourceVersionMatch",
    "allowWatchBookmarks",
    "sendInitialEvents",
    "timeoutSeconds",
    "continue",
    "dryRun",
    "fieldManager",
    "force",
    "propagationPolicy",
    "gracePeriodSeconds",
    "orphanDependents",
    "pretty",
    "timeout",
    "command",
    "container",
    "stdin",
    "Watch",
    "w%61tch",
    "%66ieldSelector",
    "shardSelector",
    "",
    "unknown",
    "a b",
];

const VALUES: [&str; 52] = [
    "",
    "true",
    "false",
    "1",
    "0",
    "False",
    "FALSE",
    "no",
    "t",
    "500",
    "-1",
    "abc",
    "All",
    "metadata.name=x",
    "metadata.name%3Dx",
    "metadata.name==x",
    "metadata.name!=x",
    "metadata.name=x,type=y",
    "type=y,metadata.name=x",
    "metadata.name=a%5C,b",
    "metadata.name=a%2Fb",
    "metadata.name=..",
    "metadata.name=a%25b",
    "metadata.name=x,metadata.name=y",
    "metadata.name",
    "metadata.name=",
    "metadata.namespace=x",
    "spec.nodeName=n%2Cmetadata.name%3Dx",
    "metadata.name=%C3%A9",
    "metadata.name=a+b",
    "metadata.name=a%20b",
    ",,metadata.name=x",
    "metadata.name=a%5Cb",
    "a=b",
    "a%3Db",
    "a+in+(b,c)",
    "a%20notin%20(b)",
    "!a",
    "a!=b",
    "a>1",
    "=",
    "a=b=c",
    "a,",
    "a in",
    "a=_",
    "a%3D%3Db%2Cc",
    "x;y",
    "%",
    "%zz",
    "a%2",
    "%ff",
    "1.5",
];

const NON_RESOURCES: [&str; 30] = [
    "/api",
    "/api/",
    "/apis",
    "/apis/",
    "/api/v1",
    "/api/v1/",
    "/apis/apps",
    "/apis/apps/",
    "/apis/apps/v1",
    "/apis/apps/v1/",
    "/version",
    "/version/",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/apis/apps/v1",
    "/healthz",
    "/readyz/ping",
    "/livez/",
    "/livez/ping",
    "/.well-known/openid-configuration",
    "/openid/v1/jwks",
    "/",
    "/metrics",
    "/logs/",
    "/debug/pprof/",
    "/apis/nothing",
    "/apis/nothing/v9",
    "/statusz",
    "/healthz/etcd",
    "/swagger.json",
];

const NASTY: [&str; 24] = [
    "/", "//", "/.", "/..", "/./", "/../", "%2F", "%2f", "%2e", "%00", "%0a", "%", ";", "?", "#", "\\", "%5C", "+",
    "é", "%25", ":", "&", "=", "%20",
];

/// SplitMix64: tiny, and the same on every machine.
pub struct Generator(u64);

impl Generator {
    /// The same seed gives the same pairs.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next pair.
    pub fn pair(&mut self) -> Pair {
        let method = self.method();
        let mut target = if self.chance(8) { self.pick(&NON_RESOURCES).to_owned() } else { self.resource_path() };
        if self.chance(22) {
            target = self.spoil(target);
        }
        if self.chance(55) {
            target.push('?');
            target.push_str(&self.query());
        }
        Pair { method, target }
    }

    fn resource_path(&mut self) -> String {
        let mut path = format!("/{}", self.pick(&GROUPS));
        let mut add = |segment: &str| {
            path.push('/');
            path.push_str(segment);
        };
        if self.chance(3) {
            add(self.pick(&["watch", "watch", "proxy"]));
        }
        if self.chance(60) {
            add("namespaces");
            add(self.mostly(&NAMESPACES, 6));
        }
        if self.chance(92) {
            add(self.mostly(&RESOURCES, 20));
            if self.chance(65) {
                if self.chance(4) {
                    let length = [63, 64, 200, 253, 254, 1000][self.below(6)];
                    add(&"n".repeat(length));
                } else {
                    add(self.mostly(&NAMES, 13));
                }
                if self.chance(45) {
                    add(self.mostly(&SUBRESOURCES, 16));
                }
            }
        }
        if self.chance(4) {
            path.push('/');
        }
        path
    }

    fn query(&mut self) -> String {
        let count = [1, 1, 1, 2, 2, 3, 6][self.below(7)];
        let mut pairs = Vec::new();
        for _ in 0..count {
            let key = self.mostly(&KEYS, 24);
            // Mostly a value that goes with the key, so that many queries are good ones.
            let value = match key {
                "fieldSelector" | "%66ieldSelector" if self.chance(75) => {
                    VALUES[13 + if self.chance(60) { self.below(7) } else { self.below(20) }]
                }
                "labelSelector" if self.chance(75) => VALUES[33 + self.below(13)],
                "limit" | "timeoutSeconds" | "gracePeriodSeconds" if self.chance(75) => {
                    self.pick(&["1", "500", "-1", "0"])
                }
                "dryRun" if self.chance(75) => "All",
                _ if self.chance(60) => VALUES[self.below(13)],
                _ => self.pick(&VALUES),
            };
            pairs.push(match self.below(20) {
                0 => key.to_owned(),
                1 if self.chance(30) => format!("{key}={value}&{key}={value}"),
                _ => format!("{key}={value}"),
            });
        }
        pairs.join(if self.chance(3) { ";" } else { "&" })
    }

    /// One or two small wounds.
    fn spoil(&mut self, mut path: String) -> String {
        for _ in 0..1 + self.below(2) {
            let at = self.boundary(&path);
            match self.below(8) {
                0 | 1 => path.insert_str(at, self.pick(&NASTY)),
                2 => path.insert(0, '/'),
                3 => path.push('/'),
                // One character in its other spelling.
                4 | 5 => {
                    if let Some(c) = path[at..].chars().next().filter(char::is_ascii) {
                        path.replace_range(at..=at, &format!("%{:02x}", u32::from(c)));
                    }
                }
                6 => {
                    if path[at..].chars().next().is_some() && at > 0 {
                        path.remove(at);
                    }
                }
                _ => {
                    let rest = path[at..].to_ascii_uppercase();
                    let upper: String = rest.chars().take(1).collect();
                    if upper.is_ascii() && !upper.is_empty() {
                        path.replace_range(at..=at, &upper);
                    }
                }
            }
        }
        path
    }

    fn boundary(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len().max(1));
        while !text.is_char_boundary(at) || text[at..].chars().next().is_some_and(|c| !c.is_ascii()) {
            at = (at + 1) % text.len();
        }
        at
    }

    fn method(&mut self) -> String {
        let total: u32 = METHODS.iter().map(|(_, weight)| weight).sum();
        let mut left = u32::try_from(self.below(total as usize)).unwrap_or_default();
        for (method, weight) in METHODS {
            if left < weight {
                return method.to_owned();
            }
            left -= weight;
        }
        "GET".to_owned()
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    /// Three of four times one of the first `good`, which are ordinary.
    fn mostly<'a>(&mut self, list: &[&'a str], good: usize) -> &'a str {
        let bound = if self.chance(75) { good } else { list.len() };
        list[self.below(bound)]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
