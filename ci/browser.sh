#!/usr/bin/env bash
# Sees to a Chromium for the tests of the HTML report, and installs Debian's where that is possible.
# Ends with 0 when one is there, with 1 when none could be had; says which.
set -uo pipefail

for program in chromium chromium-browser google-chrome; do
  if command -v "$program" >/dev/null; then
    echo "browser: $("$program" --version 2>/dev/null || echo "$program")"
    exit 0
  fi
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  echo "browser: none; apt-get install chromium"
  export DEBIAN_FRONTEND=noninteractive
  if { apt-get update && apt-get install -y --no-install-recommends chromium; } >"$log" 2>&1; then
    echo "browser: $(chromium --version)"
    exit 0
  fi
  tail -n 3 "$log"
fi
echo "browser: NONE, and none could be installed: the HTML report is NOT tested in a browser"
exit 1
