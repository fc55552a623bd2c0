# shellcheck shell=bash
# What machine/boot and tests/run share: messages, installing packages, building. Sourced, not run; the caller sets `root`.

say() { printf '%s\n' "==> $*" >&2; }
warn() { printf '%s\n' "$*" >&2; }
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

build_packages=(g++ cmake ninja-build ccache pkg-config libxbyak-dev libcapstone-dev libfdt-dev libslirp-dev liburing-dev libboost-dev)
test_packages=(catch2 libmpfr-dev libgmp-dev libbenchmark-dev binutils-riscv64-linux-gnu gcc-riscv64-linux-gnu libc6-dev-riscv64-cross gdb-multiarch python3)
guest_packages=(mmdebstrap debian-archive-keyring arch-test xz-utils cpio)

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "packages are missing (${missing[*]}) and installing them needs root or sudo"
	fi
}

# The suite that this machine runs, alone: for when -updates or -security are out of step with their index.
plain_sources() { # FILE
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CODENAME) $(COMPONENT) $(SIGNED_BY)' 'Created-By: Packages' |
		while read -r uri release codename component key; do
			case "$release $codename" in *-updates* | *-security* | *-backports*) continue ;; esac
			printf 'deb %s%s %s %s\n' "${key:+[signed-by=$key] }" "$uri" "$codename" "$component"
		done | sort -u >"$1"
}

missing=()
need_packages() { # NAME...
	missing=()
	local name
	for name; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
	done
	[ "${#missing[@]}" -eq 0 ] && return
	command -v apt-get >/dev/null || die "packages are missing (${missing[*]}) and this machine has no apt-get to install them"
	say "installing ${missing[*]}"
	local install=(apt-get install -y -qq --no-install-recommends "${missing[@]}") try
	export DEBIAN_FRONTEND=noninteractive
	as_root "${install[@]}" >/dev/null 2>&1 && return
	for try in 1 2; do
		as_root apt-get update -qq >/dev/null 2>&1
		as_root "${install[@]}" >/dev/null 2>&1 && return
		say "the registry did not answer well, trying again ($try)"
		sleep $((try * 5))
	done
	local plain
	plain=$(mktemp -d)
	plain_sources "$plain/sources.list"
	mkdir -p "$plain/lists/partial"
	local only=(-o "Dir::Etc::SourceList=$plain/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$plain/lists" -o Acquire::Retries=3)
	if as_root apt-get "${only[@]}" update -qq >/dev/null && as_root apt-get "${only[@]}" "${install[@]:1}" >/dev/null; then
		rm -rf "$plain"
		return
	fi
	rm -rf "$plain"
	die "apt could not install ${missing[*]}: see the messages above"
}

build() { # PRESET TARGET...
	local preset=$1
	shift
	say "building ($preset)"
	local log=$root/build/$preset.log
	mkdir -p "$root/build"
	(cd "$root" && cmake --preset "$preset" >"$log" 2>&1) || {
		tail -n 20 "$log" >&2
		die "cmake could not configure the build, its log is $log"
	}
	(cd "$root" && cmake --build --preset "$preset" ${1:+--target "$@"} >>"$log" 2>&1) || {
		grep -E 'error|FAILED|undefined' "$log" | head -n 20 >&2
		die "the build failed, its log is $log"
	}
}
