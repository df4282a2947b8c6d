// What a job does with the Kubernetes client for JavaScript, as its documentation shows it. Prints one line for each step.

import * as k8s from "@kubernetes/client-node";

const config = new k8s.KubeConfig();
config.loadFromCluster();
const core = config.makeApiClient(k8s.CoreV1Api);
// The pod's own, by the third file.
const namespace = config.getContextObject(config.currentContext).namespace;

const map = { name: "by-js", namespace };
const labels = { by: "js" };
const first = { metadata: { name: map.name, labels }, data: { a: "1" } };
console.log("created", (await core.createNamespacedConfigMap({ namespace, body: first })).metadata.name);
for (const item of (await core.listNamespacedConfigMap({ namespace, labelSelector: "by=js", limit: 1 })).items)
  console.log("listed", item.metadata.name);
console.log("got a=" + (await core.readNamespacedConfigMap(map)).data.a);

const watch = new k8s.Watch(config);
const path = `/api/v1/namespaces/${namespace}/configmaps`;
const { promise: event, resolve, reject } = withResolvers();
const ended = (error) => reject(error ?? new Error("the watch ended"));
const watching = await watch.watch(path, { labelSelector: "by=js" }, (type, object) => resolve([type, object]), ended);
const [type, object] = await event;
console.log("watched", type, object.metadata.name);
watching.abort();

// The namespace has others' objects, and the list asks for itself.
const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: "by=js" });
const informer = k8s.makeInformer(config, path, list, "by=js");
const informed = withResolvers();
informer.on("add", (object) => informed.resolve(object));
informer.on("error", (error) => informed.reject(error));
await informer.start();
console.log("informed", (await informed.promise).metadata.name);
await informer.stop();

async function patch(strategy, body, more) {
  const as = k8s.setHeaderOptions("Content-Type", strategy);
  return JSON.stringify((await core.patchNamespacedConfigMap({ ...map, body, ...more }, as)).data);
}
const { JsonPatch, MergePatch, StrategicMergePatch, ServerSideApply } = k8s.PatchStrategy;
console.log("strategic", await patch(StrategicMergePatch, { data: { a: "2" } }));
console.log("merge", await patch(MergePatch, { data: { a: "3" } }));
console.log("json", await patch(JsonPatch, [{ op: "replace", path: "/data/a", value: "4" }]));
const applied = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: map.name }, data: { b: "5" } };
console.log("applied", await patch(ServerSideApply, applied, { fieldManager: "story" }));
// What another manager owns.
const taken = { ...applied, data: { a: "5", b: "5" } };
console.log("forced", await patch(ServerSideApply, taken, { fieldManager: "story", force: true }));
const whole = await core.readNamespacedConfigMap(map);
whole.data.a = "6";
console.log("replaced a=" + (await core.replaceNamespacedConfigMap({ ...map, body: whole })).data.a);

const secret = await core.readNamespacedSecret({ name: "of-js", namespace });
const value = Buffer.from(secret.data.password, "base64").toString();
console.log(value.startsWith("sallyport: masked value") ? "secret is masked" : "secret is " + value);
secret.metadata.labels = labels;
const written = await core.replaceNamespacedSecret({ name: "of-js", namespace, body: secret });
console.log("written back", written.data.password === secret.data.password);
try {
  await core.deleteNamespace({ name: "sallyport" });
} catch (refused) {
  console.log("refused", refused.code, JSON.parse(refused.body).reason);
}

const bot = { metadata: { name: "by-js-bot" } };
console.log("held and made", (await core.createNamespacedServiceAccount({ namespace, body: bot })).metadata.name);
await core.deleteNamespacedConfigMap(map);
console.log("deleted by-js");
try {
  await core.readNamespacedConfigMap(map);
} catch (gone) {
  console.log("gone", gone.code);
}

function withResolvers() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
}
