#!/usr/bin/env bash
# Everything that needs a GPU, on a bare machine with CUDA, Python and torch.
set -euo pipefail

usage() {
  cat <<'END'
Usage: ci/gpu.sh [OPTION]...

Installs what is missing beside the torch that is there, runs the cases on CUDA and between CUDA
and CPU, benches FLUX.1-schnell, and prints a table last. The torch of the machine stays as it is,
also where it is older than the one that the suite is pinned to. The other pins are for Python 3.11
or newer; an older Python gets the newest releases that it can have, and it says so.

The models of published size (full) come last, one at a time on the machine, and take hours:
--sizes tiny,small,pipeline leaves them out. How long any of it takes on a card was not measured.

  --results DIR    where results, pictures, the benchmark and logs go; or RESULTS; conformance-gpu
  --sizes LIST     of tiny, small, pipeline and full; or SIZES; all of them when left out
  --wheels DIR     take every package from this folder and nothing from a network; or WHEELS
  --workers N      engines at work at once, but for full; or WORKERS; when left out one a core, but
                   no more than four a GPU and no less than one
  --no-bench       leave the benchmark out
  --installed      use the `conformance` on PATH; install nothing
  --help           print this

Variables: PYTHON (python3 when empty), CONFORMANCE_SUITE (a requirement to install in the place of
the checkout that this file lies in), and those of pip. With CUDA_VISIBLE_DEVICES only those GPUs.

Exit codes: 0 as expected, 1 not as expected, 2 usage, 3 inconclusive: no CUDA, or a part gave none;
130 broken off by Ctrl-C or SIGTERM.
END
}

refuse() {
  echo "gpu.sh: $1; ci/gpu.sh --help shows how" >&2
  exit 2
}

inconclusive() {
  echo "gpu.sh: inconclusive: $1" >&2
  exit 3
}

results=${RESULTS:-conformance-gpu} sizes=${SIZES:-tiny,small,pipeline,full} wheels=${WHEELS:-}
workers=${WORKERS:-} benching=yes installed='' table='' worst=0 child=''
PER_GPU=4 ROW='%-12s %5s %8s %9s %10s %9s'

read_arguments() {
  while (($#)); do
    case $1 in
      --help | -h) usage && exit 0 ;;
      --no-bench) benching='' && shift && continue ;;
      --installed) installed=yes && shift && continue ;;
      --results | --sizes | --wheels | --workers) ;;
      *) refuse "no option $1" ;;
    esac
    [[ -n ${2:-} ]] || refuse "$1 wants a value"
    case $1 in
      --results) results=$2 ;;
      --sizes) sizes=$2 ;;
      --wheels) wheels=$2 ;;
      --workers) workers=$2 ;;
    esac
    shift 2
  done
}

check_arguments() {
  [[ $sizes =~ ^(tiny|small|pipeline|full)(,(tiny|small|pipeline|full))*$ ]] ||
    refuse "no sizes '$sizes'; they are tiny, small, pipeline and full, with commas between"
  [[ -z $workers || $workers =~ ^[1-9][0-9]*$ ]] || refuse "no number of workers '$workers'"
  [[ -z $wheels || -d $wheels ]] || refuse "there is no folder '$wheels' of wheels"
  command -v "$python" >/dev/null || refuse "there is no '$python'; set PYTHON"
}

# Prints the number of GPUs that torch sees, its version, the cores, and the minor of Python 3.
look_at_machine() {
  "$python" - <<'END'
import os
import sys

import torch

gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(gpus, torch.__version__, len(os.sched_getaffinity(0)), sys.version_info[1])
END
}

# The pins, but for torch and what belongs to its build: those are the machine's.
pins() {
  local torch=$1 minor=$2
  echo "torch==$torch"
  if ((minor < 11)); then
    echo "gpu.sh: the pins are for Python 3.11 or newer; with 3.$minor only torch is pinned" >&2
  else
    grep -viE '^(torch|triton|nvidia-[a-z0-9-]+)==' "$root/ci/constraints.txt"
  fi
}

# Makes an environment that has what $python has. Where that is in an environment, too, the option
# alone would show the packages of the Python below it.
make_environment() {
  local torch=$1 seen
  "$python" -m venv --system-site-packages "$work/venv" ||
    inconclusive 'no virtual environment can be made'
  "$python" - "$work/venv" <<'END'
import sys
import sysconfig
from pathlib import Path

base = {"base": sys.argv[1], "platbase": sys.argv[1]}
site = Path(sysconfig.get_path("purelib", "posix_prefix", base))
site.mkdir(parents=True, exist_ok=True)
machine = dict.fromkeys(sysconfig.get_path(each) for each in ("purelib", "platlib"))
(site / "machine.pth").write_text("".join(f"{each}\n" for each in machine))
END
  seen=$("$work/venv/bin/python" -c 'import torch; print(torch.__version__)' 2>/dev/null) ||
    seen='no torch'
  [[ $seen == "$torch" ]] ||
    inconclusive "an environment made by $python has $seen, not its torch $torch; set PYTHON"
}

install_suite() {
  local torch=$1 minor=$2 pip
  echo "gpu.sh: installing beside torch $torch" >&2
  make_environment "$torch"
  python=$work/venv/bin/python conformance=$work/venv/bin/conformance
  pins "$torch" "$minor" >"$work/constraints.txt"
  pip=("$python" -m pip install --quiet --disable-pip-version-check -c "$work/constraints.txt")
  if [[ -n $wheels ]]; then pip+=(--no-index --find-links "$wheels"); fi
  "${pip[@]}" "${CONFORMANCE_SUITE:-$root}[pipelines,plot]" ||
    inconclusive 'what the suite requires cannot be installed'
}

# Prints of a run how many cases were measured, not as expected, and without a result.
counts() {
  "$python" - "$results/$1.jsonl" 2>/dev/null <<'END' || echo - - -
import json
import sys

with open(sys.argv[1], encoding="utf-8") as lines:
    *_, last = lines
counts = json.loads(last)["counts"]
print(sum(counts["verdicts"].values()), counts["unexpected"], sum(counts["no_results"].values()))
END
}

# Runs one part, keeps what it printed, and adds a line to the table.
part() {
  local name=$1 code=0 start=$SECONDS cases=()
  shift
  echo "gpu.sh: $name" >&2
  # In the background: bash hears of a signal while it waits, but not while it runs something.
  "$@" >"$results/$name.txt" 2> >(tee "$results/$name.log" >&2) &
  child=$!
  wait "$child" || code=$?
  child=''
  cat "$results/$name.txt"
  read -ra cases < <(counts "$name")
  table+=$(row "$name" "$code" "$((SECONDS - start))" "${cases[@]}")$'\n'
  worse "$code"
}

row() {
  # shellcheck disable=SC2059 # one format for the head and all rows
  printf "$ROW" "$@"
}

show_table() {
  printf '\n%s\n%s' "$(row part exit seconds measured unexpected 'no result')" "$table"
  echo "results: $results"
}

# shellcheck disable=SC2329 # a trap calls it
# Ends the part that is at work, which takes this for Ctrl-C and removes what it made.
break_off() {
  trap '' INT TERM
  if [[ -n $child ]]; then
    kill -TERM "$child" 2>/dev/null || true
    wait "$child" || true
  fi
  show_table
  echo 'gpu.sh: broken off' >&2
  exit 130
}

# Exit codes by harm: 1 is known to be bad, 3 is not known to be good; others are no answer.
worse() {
  local code=$1
  ((code <= 1 || code == 3)) || code=3
  if ((code == 1 || worst == 0)); then worst=$code; fi
}

# Prints how many engines work at once: one a core, but a few a GPU at most and one at least.
engines_for() {
  local engines=$1
  if ((engines > PER_GPU * gpus)); then engines=$((PER_GPU * gpus)); fi
  if ((engines < gpus)); then engines=$gpus; fi
  echo "$engines"
}

run_size() {
  local size=$1 engines=$workers arguments=()
  # Large models come one at a time on a machine, however many engines there are.
  if [[ $size == full ]]; then engines=1; fi
  if [[ $size == pipeline ]]; then arguments+=(--pictures "$results/pictures"); fi
  part "$size" "$conformance" run --marker gpu --marker "$size" -n "$engines" \
    --results "$results/$size.jsonl" ${arguments[@]+"${arguments[@]}"}
}

main() {
  read_arguments "$@"
  python=${PYTHON:-python3} conformance=conformance
  check_arguments
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  local seen torch cores minor size
  seen=$(look_at_machine) || inconclusive "$python has no torch; install one for this machine's CUDA"
  read -r gpus torch cores minor <<<"$seen"
  ((gpus)) || inconclusive "torch $torch sees no CUDA device; nothing was run"
  work=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/gpu.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap break_off INT TERM
  [[ -n $installed ]] || install_suite "$torch" "$minor"
  command -v "$conformance" >/dev/null || refuse 'no conformance is installed; leave --installed out'
  mkdir -p "$results"
  workers=${workers:-$(engines_for "$cores")}

  part env "$conformance" env
  for size in ${sizes//,/ }; do [[ $size == full ]] || run_size "$size"; done
  if [[ -n $benching ]]; then
    part bench "$conformance" bench model flux-schnell --device cuda --compile \
      --results "$results/bench.json" --plot "$results/bench.svg"
  fi
  if [[ ,$sizes, == *,full,* ]]; then run_size full; fi
  show_table
  exit "$worst"
}

main "$@"
