#!/usr/bin/env bash
# May we upgrade? For anybody's CI: a small virtual environment, the suite in it, `conformance gate`.
set -euo pipefail

usage() {
  cat <<'END'
Usage: ci/gate.sh --baseline ENV --candidate ENV [OPTION]...

Does what you have (baseline) still hold with what you would have (candidate)? ENV is a name of
ci/environments.toml, or requirements: 'torchao==0.17.0 diffusers==0.42.1'. A wheel may have a *
in its path: 'dist/torchao-*.whl diffusers==0.42.1'. Needs Python 3.10 or newer.

  --baseline ENV     what you have; or the variable BASELINE
  --candidate ENV    what you would have; or CANDIDATE
  --select GLOB      cases whose id matches; repeatable; or SELECT, one glob a line
  --device NAME      only the cases of this device, cpu or cuda; or DEVICE
  --accept FILE      reviewed exceptions, as TOML; or ACCEPT
  --results DIR      where results and logs go; or RESULTS; conformance-gate when left out
  --workers N        engines at work in each run; or WORKERS
  --shard I/N        only run part I of N in both environments; decides nothing; or SHARD
  --merge            join all shards that lie in the results, and decide
  --installed        use the `conformance` on PATH; install nothing
  --help             print this

Variables: PYTHON (python3 when empty), CONFORMANCE_SUITE (a requirement to install in the place of
the checkout that this file lies in), and those of pip and uv. With GITHUB_STEP_SUMMARY a summary
is added to that file.

Exit codes: 0 compatible, 1 blocked, 2 usage, 3 inconclusive; of a shard: 0 it was run.
END
}

refuse() {
  echo "gate.sh: $1; ci/gate.sh --help shows how" >&2
  exit 2
}

inconclusive() {
  echo "gate.sh: inconclusive: $1" >&2
  exit 3
}

# Never needed to start runs elsewhere, and gigabytes where torch comes with CUDA.
readonly LEFT_OUT='torch torchao diffusers huggingface_hub accelerate safetensors numpy scikit-image pytest pytest-xdist'

baseline=${BASELINE:-} candidate=${CANDIDATE:-} device=${DEVICE:-} accept=${ACCEPT:-}
results=${RESULTS:-conformance-gate} workers=${WORKERS:-} shard=${SHARD:-}
globs=() merging='' installed=''

read_arguments() {
  while (($#)); do
    case $1 in
      --help | -h) usage && exit 0 ;;
      --merge) merging=yes && shift && continue ;;
      --installed) installed=yes && shift && continue ;;
      --baseline | --candidate | --select | --device | --accept | --results | --workers | --shard) ;;
      *) refuse "no option $1" ;;
    esac
    [[ -n ${2:-} ]] || refuse "$1 wants a value"
    case $1 in
      --baseline) baseline=$2 ;;
      --candidate) candidate=$2 ;;
      --select) globs+=("$2") ;;
      --device) device=$2 ;;
      --accept) accept=$2 ;;
      --results) results=$2 ;;
      --workers) workers=$2 ;;
      --shard) shard=$2 ;;
    esac
    shift 2
  done
}

# The globs of SELECT count when no --select is given, as every variable does.
read_select() {
  local glob
  ((${#globs[@]})) || while IFS= read -r glob; do
    if [[ -n ${glob// /} ]]; then globs+=("$glob"); fi
  done <<<"${SELECT:-}"
}

check_arguments() {
  [[ -n $baseline ]] || refuse 'name what you have: --baseline ENV'
  [[ -n $candidate ]] || refuse 'name what you would have: --candidate ENV'
  [[ -z $shard || -z $merging ]] || refuse '--shard runs a part and --merge joins all; give one'
  [[ -z $shard || $shard =~ ^[1-9][0-9]*/[1-9][0-9]*$ ]] || refuse "no shard '$shard'; write 1/4"
  [[ -z $accept || -f $accept ]] || refuse "there is no file '$accept' to accept by"
  [[ $device =~ ^(cpu|cuda)?$ ]] || refuse "no device '$device'; it is cpu or cuda"
}

# Nobody knows before which version a wheel gets that this CI builds: the one file is meant.
with_wheel() {
  local words=() found=() place
  if [[ $1 != *'*'*.whl* ]]; then
    printf '%s\n' "$1"
    return
  fi
  read -ra words <<<"$1"
  for place in "${!words[@]}"; do
    [[ ${words[place]} == *'*'*.whl ]] || continue
    mapfile -t found < <(compgen -G "${words[place]}" | sort)
    ((${#found[@]} == 1)) || refuse "${words[place]} is ${#found[@]} files, and must be one"
    words[place]=${found[0]}
  done
  printf '%s\n' "${words[*]}"
}

is_python() {
  "$python" -c 'import sys; sys.exit(sys.version_info < tuple(map(int, sys.argv[1].split("."))))' "$1"
}

# Installs the suite, and of what it requires only what starts runs elsewhere.
install_suite() {
  local root suite pip
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  suite=${CONFORMANCE_SUITE:-$root}
  is_python 3.10 || refuse "PYTHON=$python is no Python 3.10 or newer"
  echo "gate.sh: installing $suite" >&2
  unset PYTHONPATH PYTHONHOME # what the caller has there must not stand in the place of the suite
  "$python" -m venv "$work/venv" || inconclusive 'no virtual environment can be made'
  python=$work/venv/bin/python conformance=$work/venv/bin/conformance
  pip=("$python" -m pip install --quiet --disable-pip-version-check --no-warn-conflicts)
  "${pip[@]}" --no-deps "$suite" || inconclusive "$suite cannot be installed"
  "$python" -I - "$LEFT_OUT" >"$work/requirements.txt" <<'END'
import re, sys
from importlib.metadata import requires

left_out = {name.replace("_", "-") for name in sys.argv[1].split()}
for line in requires("quantized-checkpoint-conformance") or ():
    name = re.match(r"[\w.-]+", line)[0].lower().replace("_", "-")
    if name not in left_out and "extra ==" not in line:
        print(line)
END
  # The pins are those of Python 3.11; some of them have no release for 3.10.
  if [[ -f $root/ci/constraints.txt ]] && is_python 3.11; then
    pip+=(-c "$root/ci/constraints.txt")
  fi
  "${pip[@]}" -r "$work/requirements.txt" || inconclusive 'what the suite requires cannot be installed'
}

# What is not as expected is for the gate to judge; anything else ends here.
must_be_judged() {
  case $1 in
    0 | 1 | 3) ;;
    2) exit 2 ;;
    *) inconclusive "$2 ended with $1" ;;
  esac
}

# Runs one side of a shard in its environment.
run_shard() {
  local side=$1 environment=$2 interpreter code=0
  "$conformance" envs make "$environment" --json >"$work/made.json" || code=$?
  ((code != 2)) || exit 2
  interpreter=$("$python" -c '
import json, sys
(made,) = json.load(open(sys.argv[1], encoding="utf-8"))
made["ready"] or sys.exit("gate.sh: no result: {name} {lacks}: {words}".format(**made))
print(made["python"])
' "$work/made.json") || inconclusive "the $side cannot be run"
  code=0
  "$interpreter" -I -m conformance.cli run --shard "$shard" "${cases[@]}" \
    --results "$results/$side-${shard/\//-of-}.jsonl" || code=$?
  must_be_judged "$code" "shard $shard of the $side"
}

merge_side() {
  local shards code=0
  mapfile -t shards < <(compgen -G "$results/$1-*-of-*.jsonl" | sort)
  ((${#shards[@]})) || refuse "no shard of the $1 lies in '$results'"
  "$conformance" merge "${shards[@]}" -o "$results/$1.jsonl" >"$results/$1.txt" || code=$?
  must_be_judged "$code" "the merge of the $1"
}

gate() {
  local arguments=(--baseline "$baseline" --candidate "$candidate" "${cases[@]}" --results "$results")
  if [[ -n $accept ]]; then arguments+=(--accept "$accept"); fi
  # The merged results are those of a gate that ran both sides: it goes on with what comes after.
  if [[ -n $merging ]]; then arguments+=(--resume); fi
  local code=0
  "$conformance" gate "${arguments[@]}" | tee "$results/gate.txt" || code=${PIPESTATUS[0]}
  if ((code > 3)); then
    echo "gate.sh: inconclusive: the gate ended with $code" >&2
    code=3
  fi
  return "$code"
}

# What the gate wrote for it; without an answer, what the gate printed.
summary() {
  local code=$1
  if [[ -s $results/gate.md ]]; then
    cat "$results/gate.md"
    return
  fi
  printf '## The gate gave no answer (exit code %s)\n\n' "$code"
  head -c 10000 "$results/gate.txt" | sed 's/^/    /'
  printf '\nThe log of this step says more.\n'
}

# An input that a CI leaves empty must not reach uv, which refuses some empty values.
unset_empty() {
  local name
  for name in UV_TORCH_BACKEND UV_EXTRA_INDEX_URL UV_INDEX_STRATEGY; do
    if [[ -z ${!name:-} ]]; then unset "$name"; fi
  done
}

main() {
  read_arguments "$@"
  unset_empty
  read_select
  check_arguments
  baseline=$(with_wheel "$baseline")
  candidate=$(with_wheel "$candidate")
  python=${PYTHON:-python3} conformance=conformance
  command -v "$python" >/dev/null || refuse "there is no '$python'; set PYTHON"
  work=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/gate.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  [[ -n $installed ]] || install_suite
  command -v "$conformance" >/dev/null || refuse 'no conformance is installed; leave --installed out'
  mkdir -p "$results"

  cases=(-n "${workers:-1}")
  if [[ $device == cpu ]]; then cases+=(--marker cpu); fi
  if [[ $device == cuda ]]; then cases+=(--marker gpu); fi
  local glob code=0
  for glob in ${globs[@]+"${globs[@]}"}; do cases+=(--select "$glob"); done

  if [[ -n $shard ]]; then
    run_shard baseline "$baseline"
    run_shard candidate "$candidate"
    return
  fi
  if [[ -n $merging ]]; then
    merge_side baseline
    merge_side candidate
  fi
  gate || code=$?
  if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then summary "$code" >>"$GITHUB_STEP_SUMMARY"; fi
  exit "$code"
}

main "$@"
