//! The cluster itself: whether kubectl reaches it, its version, its clocks; and what was installed in it.

use std::time::Duration;

use serde_json::{Value, json};
use shared::limits;
use shared::time::Timestamp;

use super::check::{Check, Group, Report};
use super::{Question, last_line, list, span, text};
use crate::install::{
    Cluster, Difference, INSTALLATION, INSTALLED, Installation, Kubectl, Missing, NAMESPACE, OLDEST_MINOR, Settings,
    differences,
};

/// What everything else is compared with.
pub(super) struct Seen {
    pub(super) kubectl: Kubectl,
    pub(super) cluster: Cluster,
    pub(super) settings: Settings,
    pub(super) installation: Installation,
    /// What protects the cluster and is not as installed; or why that can't be known.
    pub(super) differences: Result<Vec<Difference>, String>,
    pub(super) now: Timestamp,
    pub(super) namespace: Option<String>,
    pub(super) without_pod: bool,
}

impl Seen {
    /// What of these kinds is not as installed.
    pub(super) fn exact(&self, check: Check, kinds: &[&str]) -> Check {
        match &self.differences {
            Err(why) => check.fail(why.clone()),
            Ok(all) => {
                let ours = all.iter().filter(|one| kinds.contains(&one.kind.as_str()));
                check.fail_each(ours.map(|one| one.sentence.clone()))
            }
        }
    }
}

/// What brings back what is installed.
pub(super) const PUT_BACK: &str = "put it back: sallyport upgrade --values FILE > all.yaml; kubectl apply -f all.yaml; kubectl replace --save-config -f all.yaml (apply alone leaves what others added)";

/// Looks; `None`: there is nothing to compare with.
pub(super) fn look(question: &Question, report: &mut Report) -> Option<Seen> {
    let kubectl = question.kubectl.clone();
    let check = Check::new("kubectl");
    let cluster = match Cluster::read(&kubectl) {
        Ok(cluster) => cluster,
        Err(error) if error.is::<Missing>() => {
            report.push(check.leave_out(format!("{error:#}")).remedy("install kubectl, or name it: --kubectl PATH"));
            let all = [Group::Cluster, Group::Installation, Group::Injection, Group::Network];
            report.leave_out_rest(&all, "there is no kubectl");
            return None;
        }
        Err(error) => {
            let remedy = "doctor reads Secrets of the namespace sallyport, roles and webhooks: use an administrator's kubeconfig (--kubeconfig, --context)";
            report.push(check.fail(last_line(&format!("{error:#}"))).remedy(remedy));
            return None;
        }
    };
    report.push(check);
    let version = Check::new("kubernetes-version").note(format!("1.{}", cluster.minor));
    report.push(if cluster.minor < OLDEST_MINOR {
        version
            .fail(format!("1.{OLDEST_MINOR} is the oldest that has native sidecars and all that is needed"))
            .remedy("upgrade the cluster")
    } else {
        version
    });
    report.push(clocks(&kubectl, question));
    let (check, installed) = installed(&kubectl, cluster, question);
    report.push(check);
    installed
}

fn installed(kubectl: &Kubectl, cluster: Cluster, question: &Question) -> (Check, Option<Seen>) {
    let check = Check::new("installed");
    let arguments = ["get", "configmap", INSTALLATION, "-n", NAMESPACE, "--ignore-not-found", "-o", "json"];
    let values = match kubectl.json(&arguments) {
        Ok(map) => map.pointer("/data").and_then(|data| data.get(INSTALLED)).and_then(Value::as_str).map(str::to_owned),
        Err(error) => return (check.fail(last_line(&format!("{error:#}"))), None),
    };
    let Some(values) = values else {
        let (why, remedy) = if cluster.installed.is_some() {
            (
                "its values are not in the cluster: it is of an older version, or the ConfigMap sallyport-installation is gone",
                "sallyport upgrade --values FILE | kubectl apply -f -",
            )
        } else {
            (
                "there is nothing of Sallyport in the namespace sallyport",
                "sallyport install --values FILE | kubectl apply -f -",
            )
        };
        return (check.fail(why).remedy(remedy), None);
    };
    let now = question.clock.now();
    let made = serde_saphyr::from_str::<Value>(&values).map_err(anyhow::Error::from).and_then(|values| {
        let settings = Settings::parse(values)?;
        let installation = Installation::new(&settings, &cluster, None, now)?;
        Ok((settings, installation))
    });
    match made {
        Ok((settings, installation)) => {
            let place =
                if settings.has_control_plane() { "with its control plane" } else { "its control plane is elsewhere" };
            let check = check.note(format!(
                "cluster {}, network policies: {}, {place}",
                settings.cluster(),
                settings.network()
            ));
            let differences = differences(kubectl, &installation).map_err(|error| last_line(&format!("{error:#}")));
            let (kubectl, namespace, without_pod) = (kubectl.clone(), question.namespace.clone(), question.without_pod);
            (check, Some(Seen { kubectl, cluster, settings, installation, differences, now, namespace, without_pod }))
        }
        Err(error) => {
            let remedy = "sallyport upgrade --values FILE says what is wrong with the values";
            (check.fail(last_line(&format!("{error:#}"))).remedy(remedy), None)
        }
    }
}

/// The API server's clock stands in what it would create, the kubelets' in their Leases.
fn clocks(kubectl: &Kubectl, question: &Question) -> Check {
    let check = Check::new("cluster-clock");
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sallyport-doctor", "namespace": "default"}});
    let before = question.clock.now();
    let created = kubectl.documents(&["create", "--dry-run=server", "-f", "-", "-o", "json"], &object.to_string());
    let after = question.clock.now();
    let server =
        created.ok().and_then(|(all, _)| text(all.first()?, "/metadata/creationTimestamp").parse::<Timestamp>().ok());
    let Some(server) = server else {
        return check.leave_out("the API server's clock can't be read: it takes no dry run");
    };
    // It says whole seconds, of a moment between the two of ours.
    let server_until = server.after(Duration::from_secs(1));
    let off = before.since(server_until).max(server.since(after));
    let mut check = judge(check, "the API server's clock and this machine's", off);
    let leases = kubectl.json(&["get", "leases", "-n", "kube-node-lease", "-o", "json"]).unwrap_or_default();
    let now = question.clock.now();
    let mut nodes = 0_usize;
    for lease in list(&leases, "/items") {
        let Ok(renewed) = text(lease, "/spec/renewTime").parse::<Timestamp>() else { continue };
        nodes += 1;
        // A node that is behind looks like one that was not heard; ahead it can't be in any other way.
        check = judge(
            check,
            &format!("node {} is ahead of this machine:", text(lease, "/metadata/name")),
            renewed.since(now),
        );
    }
    check
        .note(if nodes == 0 { "there is no node".to_owned() } else { format!("{nodes} nodes looked at") })
        .remedy("let all machines follow one time server (chrony, systemd-timesyncd)")
}

/// How far two clocks may be apart: records and tokens speak of time, and operation ids are refused beyond a bound.
pub(super) fn judge(check: Check, whose: &str, off: Duration) -> Check {
    if off > limits::OPERATION_ID_AHEAD {
        check.fail(format!("{whose} differ by {}", span(off)))
    } else if off > limits::CLOCKS_APART {
        check.warn(format!("{whose} differ by {}", span(off)))
    } else {
        check
    }
}
