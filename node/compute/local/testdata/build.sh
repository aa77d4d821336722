#!/bin/sh
# Builds words.wasm, sum.wasm and sales.wasm, which are committed, by Debian 12's clang, lld, wasi-libc and libclang-rt-dev-wasm32.
set -e
cd "$(dirname "$0")"
for p in words sum sales; do clang --target=wasm32-wasi -O2 -Wl,-s -o $p.wasm $p.c; done
