# shellcheck shell=bash
# What a cluster has in it before anybody uses it: DNS, and volumes. Sourced by scripts/cluster.

# write_cluster_objects DIR: manifests on stdout; makes the volumes' folders.
write_cluster_objects() {
	local number
	sed "s/DNS_ADDRESS/$DNS_ADDRESS/" "$SCRIPTS/node/dns.yaml"
	cat <<-YAML
		---
		apiVersion: storage.k8s.io/v1
		kind: StorageClass
		metadata:
		  name: local
		  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
		provisioner: kubernetes.io/no-provisioner
		volumeBindingMode: WaitForFirstConsumer
	YAML
	# Nobody makes volumes on demand here, so there are some.
	for number in {01..24}; do
		mkdir -p "$1/node/volumes/$number"
		cat <<-YAML
			---
			apiVersion: v1
			kind: PersistentVolume
			metadata: {name: local-$number}
			spec:
			  capacity: {storage: 20Gi}
			  accessModes: [ReadWriteOnce]
			  persistentVolumeReclaimPolicy: Retain
			  storageClassName: local
			  local: {path: /var/lib/volumes/$number}
			  nodeAffinity:
			    required:
			      nodeSelectorTerms:
			      - matchExpressions:
			        - {key: kubernetes.io/hostname, operator: In, values: [$NODE_NAME]}
		YAML
	done
}
