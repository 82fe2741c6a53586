#!/usr/bin/env bash
# The suite's own slow tests: whole gates, interrupted processes, a browser, real environments.
# Run it in the virtual environment of the README; it makes the environments of torchao
# releases that are not heavy.
set -euo pipefail
cd "$(dirname "$0")/.."

if ci/browser.sh; then export CONFORMANCE_BROWSER=required; fi
conformance envs make torchao0.17.0 torchao0.18.0
CONFORMANCE_ENVIRONMENTS=required pytest -n auto -m slow "$@"
python ci/real_repros.py
