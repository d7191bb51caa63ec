# Shared by the scripts in this directory: paths, installing packages, building a preset. Sourced, not run.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cores=$(nproc)

build_packages=(gcc libc6-dev binutils cmake ninja-build pkg-config dpkg-dev file debian-archive-keyring
	libsodium-dev libb2-dev libuv1-dev libc-ares-dev libsqlite3-dev libjansson-dev libmicrohttpd-dev libgnutls28-dev libseccomp-dev libcmocka-dev)
case $(uname -m) in
x86_64) build_packages+=(libipsec-mb-dev) ;;
esac

say() {
	printf '\033[1m==> %s\033[0m\n' "$*"
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "This needs root, and there is no sudo. As root, run: $*" >&2
		return 1
	fi
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages NAME…: installs missing packages; fast if there are none.
install_packages() {
	local missing=() package
	command -v dpkg-query >/dev/null || {
		echo "These scripts install packages with apt, which is missing. Required packages: $*" >&2
		return 1
	}
	for package; do
		is_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} = 0 ] && return
	say "Installing ${missing[*]}"
	as_root apt-get -q update && as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}" || {
		echo "apt could not install the packages. Is there a network, and is this Debian 12 or newer? Required packages: ${missing[*]}" >&2
		return 1
	}
}

# build PRESET [--target NAME]: configures if needed, builds, shows the compiler's progress.
build() {
	local preset=$1
	shift
	say "Building preset $preset"
	(cd "$root" && cmake --preset "$preset" -Wno-dev >"$root/build/$preset.configure.log" 2>&1) || {
		cat "$root/build/$preset.configure.log" >&2
		return 1
	}
	(cd "$root" && cmake --build --preset "$preset" --parallel "$cores" "$@")
}
mkdir -p "$root/build"
