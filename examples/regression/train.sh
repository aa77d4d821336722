#!/bin/sh
# Trains a logistic regression in rounds, each a job: train.sh ROUNDS RATE FEATURES DATA OUT [FLAG OF stratos run]...
# DATA and OUT are a file and a new folder here, or both on the network (stratos://BUCKET/...). The last line is where the model is.
set -e
[ $# -ge 5 ] || { sed -n 2,3p "$0" >&2; exit 2; }
rounds=$1 rate=$2 features=$3 data=$4 out=${5%/}
shift 5
here=$(dirname "$0")
model=$(mktemp)
trap 'rm -f "$zero"' EXIT
zero=$model
i=0
while [ $i -le "$features" ]; do echo 0; i=$((i + 1)); done > "$zero"
case $out in stratos://*) ;; *) mkdir -p "$out" ;; esac
i=1
while [ $i -le "$rounds" ]; do
	"${STRATOS:-stratos}" run --map "$here/gradient.wasm" --reduce "$here/step.wasm" --arg "$rate" --file model.txt="$model" --logs "$@" "$data" -o "$out/round-$i" >&2
	model=$out/round-$i/part-00000
	i=$((i + 1))
done
echo "$model"
