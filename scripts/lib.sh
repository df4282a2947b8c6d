# shellcheck shell=bash
# What every script here shares. Source it; it runs nothing by itself.
#
#   die TEXT                   one sentence on stderr, exit 1
#   say TEXT                   one line of progress on stderr (stdout is for results)
#   step TEXT COMMAND ARG...   run a long command and show that it is alive
#   run COMMAND ARG...         print a command and run it, its output shown: a failure can be repeated by hand
#   need CMD PACKAGE WHY       make sure that a command exists, installing its Debian package if not
#   need_rust                  make sure that there is a Rust that is new enough, and a C compiler for its dependencies

say() { printf '%s\n' "$*" >&2; }

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

run() {
	say "+ $*"
	"$@"
}

# Where binaries and virtual environments are kept between runs: outside the tree, by version, so that only a new
# machine pays for building them.
cache_root() { printf '%s\n' "${SALLYPORT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sallyport}"; }

# step TEXT COMMAND ARG...
# Runs the command with its output in a temporary file. On a terminal one line is rewritten twice a second; elsewhere
# a line appears every ten seconds. When the command fails, the end of its output is shown and the script ends.
# Call it as a plain command, never after `if`, `!`, `&&` or `||`: there bash switches `set -e` off inside functions.
step() {
	local text=$1 log pid began=$SECONDS spent code=0 shown=0 note ticks=0 traps
	shift
	traps=$(trap -p INT TERM)
	log=$(mktemp)
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	# A background command ignores the terminal's interrupt, so it is passed on by hand.
	trap 'kill -TERM "$pid" 2>/dev/null || :; wait "$pid" 2>/dev/null || :; rm -f "$log"; exit 130' INT TERM
	[[ -t 2 ]] || say "$text …"
	while kill -0 "$pid" 2>/dev/null; do
		spent=$((SECONDS - began))
		if [[ -t 2 ]]; then
			if ((ticks % 5 == 0)); then
				note=$(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c "1-$((${COLUMNS:-80} / 2 - 10))")
				printf '\r\033[K%s … %d s  %s' "$text" "$spent" "$note" >&2
			fi
		elif ((spent >= shown + 10)); then
			shown=$spent
			note=$(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c 1-60)
			say "$text … $spent s  $note"
		fi
		ticks=$((ticks + 1))
		sleep 0.1
	done
	wait "$pid" || code=$?
	trap - INT TERM
	eval "$traps"
	spent=$((SECONDS - began))
	[[ ! -t 2 ]] || printf '\r\033[K' >&2
	if ((code != 0)); then
		say "$text: failed after $spent s, status $code. The end of its output:"
		tail -n 20 "$log" | sed 's/^/    /' >&2
		rm -f "$log"
		exit 1
	fi
	rm -f "$log"
	say "$text: done, $spent s"
}

# need CMD PACKAGE WHY
need() {
	local cmd=$1 package=$2 why=$3
	if command -v "$cmd" >/dev/null; then return; fi
	install_package "$package" "$why"
	hash -r
	command -v "$cmd" >/dev/null || die "the package $package is installed, yet $cmd is still not on the PATH."
}

# install_package PACKAGE WHY: says what and why first, for it changes the machine.
install_package() {
	local package=$1 why=$2 as_root=()
	command -v apt-get >/dev/null || die "install $package ($why): this machine has no apt-get to do it with."
	if ((EUID != 0)); then
		command -v sudo >/dev/null || die "install the package $package as root ($why): there is no sudo here."
		as_root=(sudo)
	fi
	say "Installing the Debian package $package: $why."
	# Ask for a password here, where it can be seen, and not inside a step.
	((EUID == 0)) || sudo -v || die "install the package $package as root ($why): sudo was refused."
	step "apt-get update" "${as_root[@]}" apt-get update -q
	step "apt-get install $package" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -q --no-install-recommends "$package"
}

# with_lock FILE COMMAND ARG...: one at a time across processes; says so when it has to wait.
with_lock() {
	local file=$1
	shift
	mkdir -p "$(dirname "$file")"
	(
		exec 8>"$file"
		if ! flock -n 8; then
			step "Waiting for another run that holds $file" flock 8
		fi
		"$@"
	)
}

# need_rust: cargo is not installed by us, for a machine's owner chooses how to have it. A C compiler is: aws-lc and
# SQLite are compiled from C.
need_rust() {
	local root wanted have
	root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
	wanted=$(awk -F'"' '$1 == "rust-version = " { print $2 }' "$root/Cargo.toml")
	command -v cargo >/dev/null || die "Rust $wanted or newer is needed: install it from https://rustup.rs and try again."
	have=$(cargo --version | awk '{ print $2 }')
	[[ $(printf '%s\n' "$wanted" "$have" | sort -V | head -n 1) == "$wanted" ]] ||
		die "Rust $wanted or newer is needed, and this is $have: 'rustup update' brings it."
	need cc build-essential "aws-lc and SQLite are compiled from C"
}
