# shellcheck shell=bash
# One CA and everything it signs, for one cluster that lives on 127.0.0.1. Sourced by scripts/cluster.

readonly SERVER_NAMES="IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"

# make_pki FOLDER: does nothing where it has been done before.
make_pki() {
	local pki=$1
	[[ ! -e $pki/done ]] || return 0
	mkdir -p "$pki"
	chmod 700 "$pki"
	ec_key "$pki/ca.key"
	openssl req -x509 -new -key "$pki/ca.key" -subj "/CN=kubernetes-ca" -days 3650 -out "$pki/ca.crt" \
		-addext "keyUsage=critical,digitalSignature,keyCertSign,cRLSign" -addext "basicConstraints=critical,CA:TRUE"

	# Of the API server and of etcd; the API server is also etcd's client with it.
	sign "$pki" server "/CN=kube-apiserver" "serverAuth,clientAuth" "$SERVER_NAMES"
	sign "$pki" admin "/O=system:masters/CN=admin" clientAuth
	sign "$pki" controller-manager "/CN=system:kube-controller-manager" clientAuth
	# With it the API server calls kubelets (logs, exec); a test's own kubelet can demand it.
	sign "$pki" kubelet-client "/O=system:masters/CN=kube-apiserver-kubelet-client" clientAuth

	# RSA, so that ServiceAccount tokens are RS256 as in nearly every cluster that people run.
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$pki/service-account.key"
	openssl pkey -in "$pki/service-account.key" -pubout -out "$pki/service-account.pub"
	touch "$pki/done"
}

ec_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

# sign PKI NAME SUBJECT EXTENDED_KEY_USAGE [SUBJECT_ALT_NAMES]
sign() {
	local pki=$1 name=$2 subject=$3 usage=$4 names=${5:-}
	{
		echo "basicConstraints=critical,CA:FALSE"
		echo "keyUsage=critical,digitalSignature"
		echo "extendedKeyUsage=$usage"
		[[ -z $names ]] || echo "subjectAltName=$names"
	} >"$pki/$name.ext"
	ec_key "$pki/$name.key"
	openssl req -new -key "$pki/$name.key" -subj "$subject" -out "$pki/$name.csr"
	openssl x509 -req -in "$pki/$name.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
		-days 3650 -extfile "$pki/$name.ext" -out "$pki/$name.crt"
	rm -f "$pki/$name.csr" "$pki/$name.ext"
}

# write_kubeconfig FILE SERVER PKI NAME: one user, certificates embedded, so that the file can be copied.
write_kubeconfig() {
	local file=$1 server=$2 pki=$3 name=$4
	(
		umask 077
		cat >"$file" <<-YAML
			apiVersion: v1
			kind: Config
			current-context: sallyport-test
			clusters:
			- name: sallyport-test
			  cluster:
			    server: $server
			    certificate-authority-data: $(base64 -w 0 "$pki/ca.crt")
			users:
			- name: $name
			  user:
			    client-certificate-data: $(base64 -w 0 "$pki/$name.crt")
			    client-key-data: $(base64 -w 0 "$pki/$name.key")
			contexts:
			- name: sallyport-test
			  context: {cluster: sallyport-test, user: $name}
		YAML
	)
}
