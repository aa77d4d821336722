#!/bin/sh
# Builds program.wasm, which is committed, by Debian 12's clang, lld, wasi-libc and libclang-rt-dev-wasm32.
set -e
cd "$(dirname "$0")"
clang --target=wasm32-wasi -O2 -Wl,-s -Wl,-z,stack-size=65536 -o program.wasm program.c
