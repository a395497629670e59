#!/bin/sh
# Installs what the build of densely needs, if it is missing: a C compiler (Rust links with it), pkg-config and OpenBLAS.
# Uses sudo only if something has to be installed. Running it again does nothing.
set -eu

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Homebrew installs OpenBLAS outside the default paths; build.rs and openblas-src find it with pkg-config.
have_openblas() {
    if have pkg-config && pkg-config --exists openblas; then return 0; fi
    have cc || return 1
    probe=$(mktemp -d)
    printf 'char *openblas_get_config(void);\nint main(void) { return !openblas_get_config(); }\n' >"$probe/p.c"
    if cc "$probe/p.c" -o "$probe/p" -lopenblas >/dev/null 2>&1; then found=0; else found=1; fi
    rm -rf "$probe"
    return $found
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif have sudo; then say "needs root: sudo $*"; sudo "$@"
    else fail "no sudo; run this as root, then start again: $*"
    fi
}

install_packages() {
    if have apt-get; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc libc6-dev pkg-config libopenblas-dev
    elif have dnf; then as_root dnf install -y gcc pkgconf-pkg-config openblas-devel
    elif have pacman; then as_root pacman -S --needed --noconfirm gcc pkgconf openblas
    elif have apk; then as_root apk add gcc musl-dev pkgconf openblas-dev
    elif have brew; then brew install pkg-config openblas
    else
        fail "no known package manager; install a C compiler, pkg-config and OpenBLAS, or build in pure Rust:
  cargo build --release --no-default-features --features cli,embedded-mnist"
    fi
}

if have cc && have pkg-config && have_openblas; then
    say "found the C compiler, pkg-config and OpenBLAS"
else
    say "installing the C compiler, pkg-config and OpenBLAS"
    install_packages
    have_openblas || fail "OpenBLAS was installed but cannot be found; on macOS run
  export PKG_CONFIG_PATH=\"\$(brew --prefix openblas)/lib/pkgconfig\"
and start again"
fi

required=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/Cargo.toml")
have cargo || fail "cargo is missing; install Rust $required or later from your distribution, or with rustup (https://rustup.rs)"
found=$(cargo --version | sed 's/^cargo \([0-9]*\.[0-9]*\).*/\1/')
oldest=$(printf '%s\n%s\n' "$required" "$found" | sort -t. -k1,1n -k2,2n | head -n 1)
[ "$oldest" = "$required" ] || fail "cargo $found is too old, $required or later is needed; update it, for example with: rustup update"
say "found cargo $found"
