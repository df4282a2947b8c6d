"""What a job does with the Kubernetes client for Python, as its documentation shows it. Prints one line for each step."""

import base64
import sys

from kubernetes import client, config, watch

namespace = sys.argv[1]
config.load_incluster_config()
core = client.CoreV1Api()

body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="by-python", labels={"by": "python"}), data={"a": "1"})
print("created", core.create_namespaced_config_map(namespace, body).metadata.name)
for item in core.list_namespaced_config_map(namespace, label_selector="by=python", limit=1).items:
    print("listed", item.metadata.name)
print("got a=" + core.read_namespaced_config_map("by-python", namespace).data["a"])
stream = watch.Watch()
for event in stream.stream(core.list_namespaced_config_map, namespace, label_selector="by=python", timeout_seconds=10):
    print("watched", event["type"], event["object"].metadata.name)
    stream.stop()
print("patched a=" + core.patch_namespaced_config_map("by-python", namespace, {"data": {"a": "2"}}).data["a"])
whole = core.read_namespaced_config_map("by-python", namespace)
whole.data["a"] = "3"
print("replaced a=" + core.replace_namespaced_config_map("by-python", namespace, whole).data["a"])

value = base64.b64decode(core.read_namespaced_secret("of-python", namespace).data["password"]).decode()
print("secret is masked" if value.startswith("sallyport: masked value") else "secret is " + value)
try:
    core.delete_namespace("sallyport")
except client.ApiException as refused:
    print("refused", refused.status, refused.reason)

bot = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="by-python-bot"))
print("held and made", core.create_namespaced_service_account(namespace, bot).metadata.name)
core.delete_namespaced_config_map("by-python", namespace)
print("deleted by-python")
try:
    core.read_namespaced_config_map("by-python", namespace)
except client.ApiException as gone:
    print("gone", gone.status)
