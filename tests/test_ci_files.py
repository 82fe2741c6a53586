"""The files for other people's CI are linted, the linters find what is wrong, and they agree."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
WORKFLOWS = [
    *sorted((ROOT / ".github" / "workflows").glob("*.yml")),
    *sorted((ROOT / "ci").glob("example-*.yml")),
]


def lint(tool: str, *arguments: object) -> None:
    program = Path(sys.executable).with_name(tool)
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_shell_entries_are_linted() -> None:
    scripts = sorted((ROOT / "ci").glob("*.sh"))
    lint("shellcheck", *scripts, ROOT / ".ci" / "run")


def test_the_workflows_are_linted() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    lint("zizmor", "--offline", "--no-progress", "--no-config", *WORKFLOWS)


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    script = tmp_path / "entry.sh"
    script.write_text("#!/bin/bash\ncat $1\n")
    with pytest.raises(AssertionError, match="SC2086"):
        lint("shellcheck", script)
    good = (ROOT / ".github/workflows/gate.yml").read_text()
    bad = tmp_path / "bad.yml"
    bad.write_text(good.replace("runs-on:", "runs-in:"))
    with pytest.raises(AssertionError, match="runs-in"):
        lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", bad)
    workflow = tmp_path / ".github" / "workflows" / "bad.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(good.replace('"$SHARDS"', "${{ inputs.baseline }}"))
    with pytest.raises(AssertionError, match="template-injection"):
        lint("zizmor", "--offline", "--no-progress", "--no-config", workflow)


def test_inputs_reach_the_shell_only_as_variables() -> None:
    for path in WORKFLOWS:
        for job in YAML(typ="safe").load(path)["jobs"].values():
            for step in job.get("steps", ()):
                assert "${{" not in step.get("run", "")


def test_what_is_published_is_what_the_document_says() -> None:
    text = (ROOT / "ci" / "README.md").read_text(encoding="utf-8")
    steps = YAML(typ="safe").load(ROOT / "ci" / "example-publish.yml")["jobs"]["run"]["steps"]
    script = next(step["run"] for step in steps if "GITHUB_STEP_SUMMARY" in step.get("run", ""))
    commands = [line for line in script.splitlines() if not line.startswith("cp ")]
    named = [line.replace("build/site/badges", "badges") for line in commands]
    assert len(named) == 4
    assert [line for line in named if line not in text] == []


@pytest.mark.thorough
def test_what_is_published_can_be_published(tmp_path: Path) -> None:
    """The commands of the example make what they should of the committed results."""
    results = ROOT / "docs" / "results" / "default.jsonl.xz"
    for words in (["--format", "junit", "-o", "junit.xml"], ["--format", "badges", "-o", "badges"]):
        command = [sys.executable, "-m", "conformance.cli", "summary", str(results), *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "junit.xml").read_text(encoding="utf-8").startswith("<?xml")
    assert json.loads((tmp_path / "badges" / "int8wo.quantize_.json").read_text())["label"]


def test_the_workflow_and_its_example_agree() -> None:
    load = YAML(typ="safe").load
    called = load(ROOT / ".github/workflows/gate.yml")
    inputs = called["on"]["workflow_call"]["inputs"]
    jobs = load(ROOT / "ci" / "example-gate.yml")["jobs"]
    names = [job["with"].get("name", inputs["name"]["default"]) for job in jobs.values()]
    assert len({*names}) == len(names), "two calls would overwrite each other's artifacts"
    for job in jobs.values():
        assert set(job["with"]) <= set(inputs)
        assert {name for name in inputs if inputs[name].get("required")} <= set(job["with"])
    runs = [step["run"] for step in called["jobs"]["gate"]["steps"] if "run" in step]
    assert runs == [".conformance-suite/ci/gate.sh --merge", ".conformance-suite/ci/gate.sh"]
    assert called["permissions"] == {"contents": "read"}
