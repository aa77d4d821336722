#!/bin/sh
# Builds kernels.wasm, which is committed, and ./native, which is not, by Debian 12's clang and lld.
set -e
cd "$(dirname "$0")"
clang --target=wasm32 -O2 -msimd128 -mbulk-memory -mnontrapping-fptoint -nostdlib -Wl,--no-entry -Wl,-s -o kernels.wasm kernels.c
clang -O2 -Wno-ignored-attributes -Wno-unknown-attributes -o "${1:-/tmp/native}" kernels.c native.c
