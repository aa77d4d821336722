#!/bin/sh
# Builds feed.wasm, which is committed. On Debian: apt install clang lld wasi-libc libclang-rt-dev-wasm32
set -e
cd "$(dirname "$0")"
clang --target=wasm32-wasi -O2 -Wl,-s -o feed.wasm feed.c
