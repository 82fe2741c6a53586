#!/usr/bin/env bash
# A real gate between two real releases of torchao, which must find what is known of this step:
# pickles of 0.17 that 0.18 cannot read. Run it where the suite is installed.
set -euo pipefail

expected="Do not upgrade torchao 0.17.0 -> 0.18.0: 3 causes break 6 of 23 cases; 1 fixed; 16 same."
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

code=0
conformance gate --baseline torchao0.17.0 --candidate torchao0.18.0 \
  --select 'flux-tiny.int8wo.quantize_.*.cpu' --select 'flux-tiny.float8wo.quantize_.*.cpu' \
  --results "$results" >"$results/said" || code=$?
cat "$results/said"
if [[ $code != 1 || $(head -n 1 "$results/said") != "$expected" ]]; then
  echo "the gate ended with $code; expected 1 and: $expected" >&2
  exit 1
fi
