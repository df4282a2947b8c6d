//! Our own policies, roles and webhooks, compared with what was installed. The list is the agent's own configuration: a control plane can
//! ask how they are, and for nothing else, and gets words only.
//!
//! What the API server adds to what it is given (defaults) is no difference; whatever else is there more, less or otherwise is one.

use control_plane_core::grant::{MatchedGrant, Purpose, Target, VerifiedGrant, VerifyError};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::Value;
use shared::guard::{State, Watched};
use shared::limits;
use shared_net::body::collect_bounded;

use crate::refusal::Refusal;
use crate::upstream::{Upstream, UpstreamError};

/// Kinds that can be in the list, with group and resource.
const KINDS: [(&str, &str, &str); 11] = [
    ("ClusterRole", "rbac.authorization.k8s.io", "clusterroles"),
    ("ClusterRoleBinding", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ("Role", "rbac.authorization.k8s.io", "roles"),
    ("RoleBinding", "rbac.authorization.k8s.io", "rolebindings"),
    ("NetworkPolicy", "networking.k8s.io", "networkpolicies"),
    ("CiliumNetworkPolicy", "cilium.io", "ciliumnetworkpolicies"),
    ("CiliumClusterwideNetworkPolicy", "cilium.io", "ciliumclusterwidenetworkpolicies"),
    ("MutatingWebhookConfiguration", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("ValidatingAdmissionPolicy", "admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("ValidatingAdmissionPolicyBinding", "admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
];
/// Parts of an object that say nothing of what it does.
const NOT_COMPARED: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// The objects, as they were installed.
#[derive(Debug, Default)]
pub struct Guarded(Vec<Object>);

#[derive(Debug)]
struct Object {
    target: Target,
    name: String,
    wanted: Value,
}

impl Guarded {
    /// Reads the file that `sallyport install` wrote: a list of objects in JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let list: Vec<Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if list.len() > limits::GUARDED_OBJECTS {
            return Err(format!("holds {} objects, {} are the most", list.len(), limits::GUARDED_OBJECTS));
        }
        list.into_iter().map(object).collect::<Result<_, _>>().map(Self)
    }

    /// Which they are.
    pub fn targets(&self) -> Vec<&Target> {
        self.0.iter().map(|object| &object.target).collect()
    }

    /// A guard read is of these objects, and of no others.
    pub(crate) fn check(&self, grant: &MatchedGrant) -> Result<(), Refusal> {
        if grant.claims().purpose != Purpose::GuardRead {
            return Ok(());
        }
        let own = Target::of(grant.request().info());
        let all = grant.claims().reads.iter().chain([&own]).all(|target| self.find(target).is_some());
        if all { Ok(()) } else { Err(Refusal::Verify(VerifyError::Purpose)) }
    }

    /// How the object of the grant is, whose read was just answered, and those that it lists beside it.
    pub(crate) async fn report(
        &self,
        upstream: &Upstream,
        grant: &VerifiedGrant,
        first: hyper::Response<Incoming>,
    ) -> Vec<Watched> {
        let mut all = Vec::new();
        if let Some(object) = self.find(&Target::of(grant.request().info())) {
            all.push(object.judge(Ok(first)).await);
        }
        for object in grant.claims().reads.iter().filter_map(|target| self.find(target)) {
            all.push(object.judge(upstream.read(grant, &object.target).await).await);
        }
        all
    }

    fn find(&self, target: &Target) -> Option<&Object> {
        self.0.iter().find(|object| object.target == *target)
    }
}

fn object(wanted: Value) -> Result<Object, String> {
    let text = |pointer: &str| wanted.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, namespace, name) = (text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
    let version = text("/apiVersion");
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let known = KINDS.iter().find(|(known, of, _)| *known == kind && *of == group);
    let (_, _, resource) = known.ok_or_else(|| format!("{kind} of {group} is none of the kinds that are guarded"))?;
    if name.is_empty() {
        return Err(format!("a {kind} has no name"));
    }
    let place = if namespace.is_empty() { String::new() } else { format!(" in {namespace}") };
    let target = Target {
        api_group: group.to_owned(),
        api_version: version.to_owned(),
        namespace,
        resource: (*resource).to_owned(),
        name: name.clone(),
    };
    Ok(Object { target, name: format!("{kind} {name}{place}"), wanted })
}

impl Object {
    async fn judge(&self, answer: Result<hyper::Response<Incoming>, UpstreamError>) -> Watched {
        Watched { object: self.name.clone(), state: self.state(answer).await }
    }

    async fn state(&self, answer: Result<hyper::Response<Incoming>, UpstreamError>) -> State {
        let unreadable = |why: String| State::Unreadable { why };
        let response = match answer {
            Ok(response) => response,
            Err(error) => return unreadable(error.to_string()),
        };
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return State::Missing,
            other => return unreadable(format!("the API server answered {}", other.as_u16())),
        }
        let body = collect_bounded(response.into_body(), limits::LIVE_OBJECT_BYTES, limits::BODY_WAIT).await;
        let live: Option<Value> = body.ok().and_then(|body| serde_json::from_slice(&body).ok());
        match live {
            None => unreadable("the answer is no object".to_owned()),
            Some(live) => match self.difference(&live) {
                None => State::Installed,
                Some(place) => State::Changed { place },
            },
        }
    }

    /// The first place that is not as it was installed.
    fn difference(&self, live: &Value) -> Option<String> {
        let none = serde_json::Map::new();
        let (wanted, live) = (self.wanted.as_object().unwrap_or(&none), live.as_object().unwrap_or(&none));
        let keys = wanted.keys().chain(live.keys()).filter(|key| !NOT_COMPARED.contains(&key.as_str()));
        keys.into_iter().find_map(|key| difference(wanted.get(key), live.get(key), key, key))
    }
}

fn difference(wanted: Option<&Value>, live: Option<&Value>, key: &str, place: &str) -> Option<String> {
    match (wanted, live) {
        (Some(Value::Object(wanted)), Some(Value::Object(live))) => {
            let mut keys = wanted.keys().chain(live.keys().filter(|key| !wanted.contains_key(*key)));
            keys.find_map(|key| difference(wanted.get(key), live.get(key), key, &format!("{place}.{key}")))
        }
        (Some(Value::Array(wanted)), Some(Value::Array(live))) if wanted.len() == live.len() => {
            let mut pairs = wanted.iter().zip(live).enumerate();
            pairs.find_map(|(index, (wanted, live))| {
                difference(Some(wanted), Some(live), "", &format!("{place}[{index}]"))
            })
        }
        (Some(wanted), Some(live)) => (wanted != live).then(|| place.to_owned()),
        (Some(wanted), None) => (!is_empty(wanted)).then(|| place.to_owned()),
        (None, Some(live)) => (!is_empty(live) && !is_default(key, live)).then(|| place.to_owned()),
        (None, None) => None,
    }
}

/// What means the same as nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What the API server writes where nothing was said, and is not empty (k8s.io/kubernetes pkg/apis/admissionregistration/v1/defaults.go).
fn is_default(key: &str, value: &Value) -> bool {
    match key {
        "port" => value.as_u64() == Some(443),
        "matchPolicy" => value.as_str() == Some("Equivalent"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(spec: &Value) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "sallyport-agent", "namespace": "sallyport", "uid": "x"}, "spec": spec})
    }

    fn place(wanted: &Value, live: &Value) -> Option<String> {
        object(policy(wanted)).unwrap().difference(&policy(live))
    }

    #[test]
    fn what_the_api_server_adds_is_no_difference() {
        let wanted = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"protocol": "TCP", "port": 6443}]}]});
        let mut live = wanted.clone();
        live["ingress"] = json!([]);
        live["service"] = json!({});
        live["egress"][0]["ports"][0]["matchPolicy"] = json!("Equivalent");
        assert_eq!(place(&wanted, &live), None);
        let webhook = json!({"webhooks": [{"clientConfig": {"service": {"name": "x"}}}]});
        let stored =
            json!({"webhooks": [{"clientConfig": {"service": {"name": "x", "port": 443}}, "objectSelector": {}}]});
        assert_eq!(place(&webhook, &stored), None);
        assert_eq!(place(&json!({"podSelector": {}}), &json!({})), None);
    }

    #[test]
    fn everything_else_is_one() {
        let wanted = json!({"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress", "Egress"], "egress": [{"ports": [1]}]});
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut live = wanted.clone();
            change(&mut live);
            place(&wanted, &live)
        };
        for (change, expected) in [
            (&(|live: &mut Value| live["ingress"] = json!([{}])) as &dyn Fn(&mut Value), "spec.ingress"),
            (&|live| live["egress"] = json!([]), "spec.egress"),
            (&|live| live["egress"] = json!([{"ports": [1]}, {}]), "spec.egress"),
            (&|live| live["egress"][0]["ports"][0] = json!(2), "spec.egress[0].ports[0]"),
            (&|live| live["egress"][0]["to"] = json!([{}]), "spec.egress[0].to"),
            (&|live| live["policyTypes"] = json!(["Ingress"]), "spec.policyTypes"),
            (&|live| live["podSelector"]["matchLabels"]["c"] = json!("d"), "spec.podSelector.matchLabels.c"),
            (&|live| live["podSelector"] = json!({}), "spec.podSelector.matchLabels"),
            (&|live| live["port"] = json!(8443), "spec.port"),
            (&|live| live["more"] = json!(false), "spec.more"),
        ] {
            assert_eq!(changed(change).as_deref(), Some(expected));
        }
        let mut role = policy(&wanted);
        role["aggregationRule"] = json!({"clusterRoleSelectors": [{}]});
        assert_eq!(object(policy(&wanted)).unwrap().difference(&role).as_deref(), Some("aggregationRule"));
        assert_eq!(object(policy(&wanted)).unwrap().difference(&json!(null)).as_deref(), Some("spec"));
    }

    #[test]
    fn the_list_is_of_our_kinds_only() {
        let list = json!([policy(&json!({}))]).to_string();
        let guarded = Guarded::parse(&list).unwrap();
        assert_eq!(
            guarded.targets()[0].path(),
            "/apis/networking.k8s.io/v1/namespaces/sallyport/networkpolicies/sallyport-agent"
        );
        for wrong in [
            "{}".to_owned(),
            json!([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}]).to_string(),
            json!([{"apiVersion": "example.com/v1", "kind": "NetworkPolicy", "metadata": {"name": "x"}}]).to_string(),
            json!([{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}]).to_string(),
        ] {
            assert!(Guarded::parse(&wrong).is_err(), "{wrong}");
        }
    }
}
