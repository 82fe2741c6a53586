#!/usr/bin/env bash
# Everything that needs a GPU, on a bare machine with CUDA, Python and torch.
set -euo pipefail

usage() {
  cat <<'END'
Usage: ci/gpu.sh [OPTION]...

Installs what is missing beside the torch that is there, runs the cases on CUDA and between CUDA
and CPU, benches FLUX.1-schnell, and prints a table last. The torch of the machine stays as it is,
also where it is older than the one that the suite is pinned to.

  --results DIR    where results, pictures, the benchmark and logs go; or RESULTS; conformance-gpu
  --sizes LIST     of tiny, small, pipeline and full; or SIZES; tiny,small,pipeline when left out
  --wheels DIR     take every package from this folder and nothing from a network; or WHEELS
  --workers N      engines at work at once; or WORKERS; one a GPU when left out
  --no-bench       leave the benchmark out
  --installed      use the `conformance` on PATH; install nothing
  --help           print this

Variables: PYTHON (python3 when empty), CONFORMANCE_SUITE (a requirement to install in the place of
the checkout that this file lies in), and those of pip. With CUDA_VISIBLE_DEVICES only those GPUs.

Exit codes: 0 as expected, 1 not as expected, 2 usage, 3 inconclusive: no CUDA, or a part gave none.
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

results=${RESULTS:-conformance-gpu} sizes=${SIZES:-tiny,small,pipeline} wheels=${WHEELS:-}
workers=${WORKERS:-} benching=yes installed='' table='' worst=0

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

# Prints the number of GPUs that torch sees, and its version.
look_at_torch() {
  "$python" - <<'END'
import torch

print(torch.cuda.device_count() if torch.cuda.is_available() else 0, torch.__version__)
END
}

# The pins, but for torch and what belongs to its build: those are the machine's.
pins() {
  local torch=$1
  echo "torch==$torch"
  grep -viE '^(torch|triton|nvidia-[a-z0-9-]+)==' "$root/ci/constraints.txt"
}

install_suite() {
  local torch=$1 pip
  echo "gpu.sh: installing beside torch $torch" >&2
  "$python" -m venv --system-site-packages "$work/venv" ||
    inconclusive 'no virtual environment can be made'
  python=$work/venv/bin/python conformance=$work/venv/bin/conformance
  pins "$torch" >"$work/constraints.txt"
  pip=("$python" -m pip install --quiet --disable-pip-version-check -c "$work/constraints.txt")
  if [[ -n $wheels ]]; then pip+=(--no-index --find-links "$wheels"); fi
  "${pip[@]}" "${CONFORMANCE_SUITE:-$root}[pipelines,plot]" ||
    inconclusive 'what the suite requires cannot be installed'
}

# Runs one part, keeps what it printed, and adds a line to the table.
part() {
  local name=$1 code=0 start=$SECONDS
  shift
  echo "gpu.sh: $name" >&2
  "$@" >"$results/$name.txt" 2> >(tee "$results/$name.log" >&2) || code=$?
  cat "$results/$name.txt"
  table+=$(printf '%-12s %5s %8s' "$name" "$code" "$((SECONDS - start))")$'\n'
  worse "$code"
}

# Exit codes by harm: 1 is known to be bad, 3 is not known to be good; others are no answer.
worse() {
  local code=$1
  ((code <= 1 || code == 3)) || code=3
  if ((code == 1 || worst == 0)); then worst=$code; fi
}

run_size() {
  local size=$1 engines=$workers arguments=()
  # Large models one at a time on each GPU.
  if [[ $size == full ]] && ((engines > gpus)); then engines=$gpus; fi
  if [[ $size == pipeline ]]; then arguments+=(--pictures "$results/pictures"); fi
  part "$size" "$conformance" run --marker gpu --marker "$size" -n "$engines" \
    --results "$results/$size.jsonl" ${arguments[@]+"${arguments[@]}"}
}

main() {
  read_arguments "$@"
  python=${PYTHON:-python3} conformance=conformance
  check_arguments
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  local seen torch size
  seen=$(look_at_torch) || inconclusive "$python has no torch; install one for this machine's CUDA"
  read -r gpus torch <<<"$seen"
  ((gpus)) || inconclusive "torch $torch sees no CUDA device; nothing was run"
  work=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/gpu.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  [[ -n $installed ]] || install_suite "$torch"
  command -v "$conformance" >/dev/null || refuse 'no conformance is installed; leave --installed out'
  mkdir -p "$results"
  workers=${workers:-$gpus}

  part env "$conformance" env
  for size in ${sizes//,/ }; do run_size "$size"; done
  if [[ -n $benching ]]; then
    part bench "$conformance" bench model flux-schnell --device cuda --compile \
      --results "$results/bench.json" --plot "$results/bench.svg"
  fi
  printf '\n%-12s %5s %8s\n%s' part exit seconds "$table"
  echo "results: $results"
  exit "$worst"
}

main "$@"
