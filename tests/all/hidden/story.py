"""Lists, pages and a watch with the Kubernetes client for Python where policy hides objects. Prints one line for each step."""

import sys

from kubernetes import client, config, watch

namespace = sys.argv[1]
config.load_incluster_config()
core = client.CoreV1Api()

listed = core.list_namespaced_config_map(namespace, label_selector="app=all", limit=2)
print("listed", *(item.metadata.name for item in listed.items), listed.metadata._continue, listed.metadata.remaining_item_count)
page = core.list_namespaced_service(namespace, limit=2)
while True:
    print("page", *(item.metadata.name for item in page.items), page.metadata.remaining_item_count)
    if not page.metadata._continue:
        break
    page = core.list_namespaced_service(namespace, limit=2, _continue=page.metadata._continue)
try:
    core.read_namespaced_config_map("kv-1", namespace)
except client.ApiException as gone:
    print("gone", gone.status, gone.reason)

# From where the list was: whatever changes from here on is told.
print("watches", flush=True)
stream = watch.Watch()
since = listed.metadata.resource_version
for event in stream.stream(core.list_namespaced_config_map, namespace, resource_version=since, timeout_seconds=50):
    print(event["type"], event["object"].metadata.name, int(event["object"].metadata.resource_version) > int(since))
    if event["object"].metadata.name == "web-last":
        stream.stop()
