#!/bin/sh
# Builds hello.wasm, which is committed, by Debian 12's clang, lld, wasi-libc and libclang-rt-dev-wasm32.
set -e
cd "$(dirname "$0")"
clang --target=wasm32-wasi -O2 -Wl,-s -o hello.wasm hello.c
