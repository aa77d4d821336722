#!/bin/sh
# Builds program.wasm, which is committed, by Debian 12's clang, lld, wasi-libc and libclang-rt-dev-wasm32.
set -e
cd "$(dirname "$0")"
clang --target=wasm32-wasi --sysroot=/usr -O2 -Wall -Wl,-s -o program.wasm program.c
