//! What a log tells: the one text that a mask stands for is the right guess, so nobody may have another's values looked for unasked.

use std::sync::Arc;

use serde_json::{Value, json};

use super::support::{built_in, request};
use crate::decision::Effect;
use crate::mask::values::PodSecrets;
use crate::mask::{MaskContext, PlaceholderKey, PlaceholderKeys};
use crate::restore::ReadObject;

/// A pod with more in its spec than a container.
fn pod(more: &Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "guess", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "registry.example/c:1", "command": ["seq", "-w", "0", "999999"]}]}});
    pod["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    pod
}

/// How many Secrets have their values looked for in its log.
fn looked_for(pod: &Value) -> usize {
    let info = request("get pods default/guess").info;
    let keys = Arc::new(PlaceholderKeys::new(PlaceholderKey::new([7; 32]), None));
    let context = MaskContext::response(keys, "prod", &info);
    PodSecrets::of(&info, &ReadObject::new(pod.to_string().as_bytes(), &context).unwrap()).secrets.len()
}

/// SECURITY.md M5: whoever makes a pod of which values are looked for in the log has asked people before.
#[test]
fn m5_nobody_has_values_looked_for_unasked() {
    let policy = built_in();
    let reference = json!({"secretRef": {"name": "db"}});
    let volume = |source: Value| json!({"volumes": [source]});
    let container = |more: Value| {
        let mut container = json!({"name": "d", "image": "registry.example/d:1"});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        container
    };
    let from = container(json!({"envFrom": [reference]}));
    let key = container(json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "db", "key": "k"}}}]}));
    let asked = [
        volume(json!({"name": "v", "secret": {"secretName": "db"}})),
        volume(json!({"name": "v", "projected": {"sources": [{"secret": {"name": "db"}}]}})),
        volume(json!({"name": "v", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "db"}}})),
        volume(json!({"name": "v", "azureFile": {"secretName": "db", "shareName": "x"}})),
        volume(json!({"name": "v", "cephfs": {"monitors": ["m"], "secretRef": {"name": "db"}}})),
        volume(json!({"name": "v", "flexVolume": {"driver": "x", "secretRef": {"name": "db"}}})),
        volume(json!({"name": "v", "iscsi": {"targetPortal": "p", "iqn": "i", "lun": 0, "secretRef": {"name": "db"}}})),
        volume(json!({"name": "v", "rbd": {"monitors": ["m"], "image": "i", "secretRef": {"name": "db"}}})),
        volume(json!({"name": "v", "scaleIO": {"gateway": "g", "system": "s", "secretRef": {"name": "db"}}})),
        volume(json!({"name": "v", "storageos": {"secretRef": {"name": "db"}}})),
        json!({"initContainers": [from]}),
        json!({"initContainers": [key]}),
        json!({"containers": [from]}),
        json!({"containers": [key]}),
    ];
    for spec in asked {
        let pod = pod(&spec);
        assert_eq!(looked_for(&pod), 1, "{spec}");
        let effect = request("create pods default/-").body(pod).effect(&policy);
        assert!(matches!(effect, Effect::Hold), "{spec}: {effect:?}");
    }
    // A pod has none of what its images are pulled with, and many may be made unasked.
    let pull = pod(&json!({"imagePullSecrets": [{"name": "db"}]}));
    assert_eq!(looked_for(&pull), 0);
    assert_eq!(request("create pods default/-").body(pull).effect(&policy), Effect::Allow);
}
