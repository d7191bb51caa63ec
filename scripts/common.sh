# Shared by the scripts in this directory: paths, installing packages, building a preset. Sourced, not run.
[ "$(uname -s)" = Linux ] || {
	echo "warren runs on Linux: its processes are confined by the kernel's seccomp and Landlock. This system is $(uname -s)." >&2
	exit 1
}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cores=$(nproc)

build_packages=(gcc libc6-dev binutils cmake ninja-build pkg-config dpkg-dev file debian-archive-keyring
	libsodium-dev libb2-dev libuv1-dev libc-ares-dev libsqlite3-dev libjansson-dev libmicrohttpd-dev libgnutls28-dev libseccomp-dev libcurl4-gnutls-dev
	libcmocka-dev node-qrcode-generator)
case $(uname -m) in
x86_64) build_packages+=(libipsec-mb-dev) ;;
esac
clang_packages=(clang)
browser_packages=()
release=$(. /etc/os-release 2>/dev/null && echo "${ID-}-${VERSION_ID-}") || true
# Ubuntu 22.04 has no dygraphs, so that the web page is built without graphs there, and clang's run time comes with clang.
[ "$release" = ubuntu-22.04 ] || {
	build_packages+=(libjs-dygraphs)
	clang_packages+=(libclang-rt-dev)
}
# Ubuntu has Chromium as a snap alone; tests that need a browser are skipped there.
[[ $release = ubuntu-* ]] || browser_packages+=(chromium chromium-driver)

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
		echo "These scripts install packages with apt, of Debian and Ubuntu. Elsewhere, install what these packages hold and build with cmake: $*" >&2
		return 1
	}
	for package; do
		is_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} = 0 ] && return
	say "Installing ${missing[*]}"
	as_root apt-get -q update && as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}" || {
		echo "apt could not install the packages. Is there a network, and is this Debian 12, Ubuntu 22.04 or newer? Required packages: ${missing[*]}" >&2
		return 1
	}
}

# unpack NAME PACKAGE: unpacks a program and does not install it, because the package starts a service.
unpack() {
	local folder=$root/build/tools/$1
	[ -x "$folder/usr/bin/$1" ] && return
	say "Unpacking $2"
	mkdir -p "$folder"
	(cd "$folder" && { apt-get -q download "$2" || { as_root apt-get -q update && apt-get -q download "$2"; }; } && dpkg-deb -x "$2"_*.deb . && rm "$2"_*.deb)
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
