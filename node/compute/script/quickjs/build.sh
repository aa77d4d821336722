#!/bin/sh
# Builds quickjs.wasm, which is committed, from main.c and QuickJS 2025-04-26 as Debian 13 has it, by Debian 12's clang, lld, wasi-libc and
# libclang-rt-dev-wasm32. The same tools give the same bytes; ../script.go has their SHA-256. The archive comes by apt, or is the first argument.
set -e
here=$(cd "$(dirname "$0")" && pwd)
version=2025.04.26
archive=quickjs_$version.orig.tar.xz
sum=ec81da5b3249ed648dbc7df4a1654988910e66a118d9b71cb63534216efcfbbe
given=${1:+$(realpath "$1")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if [ -n "$given" ]; then
	cp "$given" $archive
else
	mkdir -p lists/partial cache/archives/partial
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >sources.list
	set -- -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root
	apt-get "$@" update
	apt-get "$@" source --download-only quickjs=$version-1
fi
echo "$sum  $archive" | sha256sum -c -
tar xf $archive
cd quickjs-$version
mkdir none
: >none/setjmp.h # dtoa.c asks for it, and does not need it
# EMSCRIPTEN: no threads, no jumps to labels' addresses. The paths are relative, because assertions hold them.
cp "$here/main.c" .
clang --target=wasm32-wasi --sysroot=/usr -nostdlibinc -isystem none -isystem /usr/include/wasm32-wasi -O2 -fwrapv -w \
	-DEMSCRIPTEN -DCONFIG_STACK_CHECK -D_GNU_SOURCE -DCONFIG_VERSION="\"$version\"" -Wl,-s,--stack-first,-z,stack-size=262144,--initial-memory=1048576 \
	-o "$here/quickjs.wasm" main.c quickjs.c libregexp.c libunicode.c cutils.c dtoa.c
chmod 644 "$here/quickjs.wasm"
cp LICENSE "$here/LICENSE"
sha256sum "$here/quickjs.wasm"
