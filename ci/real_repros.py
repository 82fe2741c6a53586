"""Run the repros of what is known of other releases, each by the Python of such an environment.

    python ci/real_repros.py [ENVIRONMENT...]

Every expectation that does not hold for what is installed here, and does for one of them, must be
reproduced there by the script that `conformance repro` writes; the tests do this for the others.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from conformance.case import all_cases
from conformance.judging.expectations import Expectation, active, load_expectations, packaged
from conformance.report.repro.choose import by_expectation, example
from conformance.report.repro.script import script
from conformance.roundtrip.checks import check_names
from conformance.session import current_expectations
from conformance.versions.environments import find, load_environments
from conformance.versions.make import ready_all, tools
from conformance.versions.ready import Ready, clean_variables

THERE = 1
"""How a script ends while its defect is there."""


def main(names: list[str]) -> int:
    """Return 0 when all were reproduced, 1 when one was not."""
    declared = load_expectations(packaged(), check_names(), all_cases().keys())
    here = {each.name for each in current_expectations()}
    left = {each.name: each for each in declared if each.name not in here}
    known = load_environments()
    usual = [each for each in known.named.values() if not each.heavy]
    asked = [find(name, known) for name in names] or usual
    failed = False
    for ready in ready_all(asked, tools(tell)):
        if not isinstance(ready, Ready):
            raise SystemExit(f"{ready.environment.name}: {ready.reason}")
        mine = [each for each in left.values() if each.holds_for(ready.versions)]
        for expectation in mine:
            del left[expectation.name]
        for line, ended in reproduced(mine, declared, ready):
            print(line, flush=True)
            failed |= ended != THERE
    print("not tried, for no such environment was asked for:", ", ".join(left) or "none")
    return int(failed)


def reproduced(
    wanted: list[Expectation], declared: tuple[Expectation, ...], ready: Ready
) -> Iterator[tuple[str, int]]:
    """Yield what came of each, and how the script ended."""
    for expectation in wanted:
        head = f"{ready.environment.name}: {expectation.name}"
        case = example(expectation, ready.versions["torchao"])
        if case is None:
            yield f"{head}: no case is quantized by a plain CPU", THERE
            continue

        def known(versions: Mapping[str, str]) -> tuple[Expectation, ...]:
            return active(declared, versions)

        text = script(by_expectation(case, ready.versions, known, expectation.name))
        done = run(text, ready)
        said = "" if done.returncode == THERE else f"\n{done.stdout}{done.stderr}"
        yield f"{head}: {done.returncode}{said}", done.returncode


def run(text: str, ready: Ready) -> "subprocess.CompletedProcess[str]":
    """Run a script as its reader does, with the packages of the environment."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "repro.py")
        path.write_text(text, encoding="utf-8")
        command = [str(ready.python), str(path)]
        variables = clean_variables(ready.python)
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def tell(text: str) -> None:
    """Say what is made."""
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
