"""Repros as text: what they hold, for every case, and how they are chosen."""

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from conformance._compat import tomllib
from conformance.axes import registry
from conformance.axes.base import Recipe
from conformance.axes.recipes import config_source, later, member, recipe
from conformance.axes.source import source
from conformance.case import Case, all_cases, default_cases, find
from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.judging.exchange import Cell, Nothing, Unmeasured
from conformance.judging.exchange_results import ExchangeHeader, ExchangeResults
from conformance.judging.expectations import Expectation
from conformance.judging.judge import judge
from conformance.judging.results import Header, Result, ResultsWriter, Selection, read_results
from conformance.report.repro.body import recognised
from conformance.report.repro.choose import by_cell, by_expectation, by_result
from conformance.report.repro.defect import Defect, Found, Raised, declared, observed, words_of
from conformance.report.repro.issue import foreign, issue
from conformance.report.repro.looks import LOOKS
from conformance.report.repro.parts import requirements
from conformance.report.repro.plan import Repro
from conformance.report.repro.recipes import chosen, measured
from conformance.report.repro.script import LIMIT, exchange_scripts, script
from conformance.roundtrip.checks import check_names
from conformance.roundtrip.kept import Readings
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Reader,
    Stage,
)
from conformance.session import current_expectations
from tests.script_runner import run

EXPECTATIONS = current_expectations()
VERSIONS = {**observed_versions(), "python": "3.11.7", "torch": "2.13.0+cpu"}
CASE = find("flux-tiny.int8wo.quantize_.pickle.cpu")
UNSAVED = find("flux-tiny.int8wo.quantize_.safetensors.cpu")
HEADER = re.compile(r"(?m)^# /// script\n((?:#(?: .*)?\n)+)# ///$")
WIDTH = 100


def known(_: object) -> Sequence[Expectation]:
    return EXPECTATIONS


def repro(case: Case, name: str = "") -> Repro:
    return by_expectation(case, VERSIONS, known, name)


def result(*findings: Finding, failure: Failure | None = None, **more: Any) -> Result:
    outcome = Outcome(CASE.id, findings=findings, failure=failure, **more)
    return Result(outcome, judge(outcome, EXPECTATIONS))


def finding(check: str, harm: Harm = Harm.ALTERED, **more: Any) -> Finding:
    return Finding(
        **{
            "check": check,
            "stage": Stage.STRUCTURE,
            "harm": harm,
            "path": "proj_out.weight",
            "what": f"{check} differs",
            "wanted": "1",
            "got": "2",
            **more,
        }
    )


# Of all cases.


def wrong_with(text: str) -> list[str]:
    compile(text, "repro.py", "exec")
    lines = text.splitlines()
    return [
        *(["is too long"] if len(lines) > LIMIT else []),
        *(["has a line that is too wide"] if max(map(len, lines)) > WIDTH else []),
        *(["knows the suite"] if re.search(r"\bconformance\b", text) else []),
        *(["has no header"] if not HEADER.match(text) else []),
        *(["is not filled in"] if re.search(r"\{\{|\{config\}|\{model\}|None\(", text) else []),
    ]


def test_the_script_of_every_case_is_short_and_by_itself() -> None:
    found = {case.id: wrong_with(script(repro(case))) for case in default_cases()}
    assert len(found) > 3000
    assert {case: wrong for case, wrong in found.items() if wrong} == {}


def test_so_are_those_of_other_sizes_and_devices() -> None:
    usual = {each.id for each in default_cases()}
    others = [case for case in all_cases().values() if case.id not in usual][::97]
    assert {each.subject.size for each in others} == {"tiny", "small", "full"}
    assert {each.id: wrong for each in others if (wrong := wrong_with(script(repro(each))))} == {}


def test_so_are_those_of_every_expectation() -> None:
    for expectation in EXPECTATIONS:
        cases = [each for each in default_cases() if expectation.about(each.id)]
        for case in cases[:: max(1, len(cases) // 5)]:
            assert wrong_with(script(repro(case, expectation.name))) == []


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("check", sorted(check_names()))
def test_so_are_those_of_every_check(check: str, fresh: bool) -> None:
    shown = Found(check, Stage.STRUCTURE, "it differs", "proj_out.weight/a", "1", "2")
    assert wrong_with(script(Repro(CASE, VERSIONS, Defect(shown, fresh)))) == []


@pytest.mark.parametrize("stage", list(Stage)[2:])
def test_so_are_those_of_every_stage(stage: Stage) -> None:
    shown = Raised(stage, "OSError", "no", leaves=stage is Stage.SAVE)
    text = script(Repro(CASE, VERSIONS, Defect(shown)))
    assert wrong_with(text) == []
    assert 'type(error).__name__ == "OSError"' in text


def test_every_check_has_a_look() -> None:
    assert LOOKS.keys() == check_names()


def test_a_sample_is_clean_for_ruff(tmp_path: Path) -> None:
    for case in default_cases()[::71]:
        (tmp_path / f"{case.id.replace('.', '_')}.py").write_text(script(repro(case)))
    command = ["ruff", "check", "--isolated", "--select=E,F,W,I", "--line-length=100", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_header_asks_for_what_was_observed() -> None:
    match = HEADER.match(script(repro(CASE)))
    lines = match[1].splitlines() if match else []
    header = tomllib.loads("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines))
    assert header["requires-python"] == "==3.11.*"
    asked = {each.name: str(each.specifier) for each in map(Requirement, header["dependencies"])}
    assert asked["torch"] == "==2.13.0"  # no index has the build's label
    assert asked["torchao"] == f"=={VERSIONS['torchao']}"
    assert {"diffusers", "huggingface_hub", "safetensors", "accelerate"} <= asked.keys()


def test_what_only_quantizing_needs_is_asked_for() -> None:
    case = find("flux-tiny.uintx4-gemlite.quantize_.pickle.cuda")
    assert "gemlite" in requirements(repro(case))


def test_a_script_on_cuda_stays_there() -> None:
    text = script(Repro(find("flux-tiny.int8wo.quantize_.pickle.cuda"), VERSIONS))
    assert '.to("cuda", torch.bfloat16)' in text
    assert 'device_map="cuda"' in text
    assert 'torch.device("cuda")' in text


# What is shown.


def test_without_results_a_script_shows_what_is_expected() -> None:
    defect = repro(UNSAVED).defect
    assert defect is not None
    assert defect.shown == Raised(
        Stage.SAVE,
        "RuntimeError",
        "Attempted to access the data pointer on an invalid python storage",
        leaves=True,
    )
    assert defect.issue == "https://github.com/safetensors/safetensors/issues/515"


def test_a_failure_hides_what_comes_after_it_and_corruption_is_worst() -> None:
    lost = repro(find("flux-tiny.nf4.quantize_.pickle.cpu")).shown
    assert isinstance(lost, Found)
    assert lost.check == "subclass"
    failed = repro(find("flux-tiny.block-sparse.quantize_.pickle.cpu")).shown
    assert isinstance(failed, Raised)


def test_a_case_without_expectations_has_no_defect() -> None:
    assert repro(find("flux-tiny.int8wo.quantize_.state-dict.cpu")).defect is None
    assert declared(UNSAVED.id, ()) is None


@pytest.mark.parametrize("name", ["nf4-loaded-other-output", "output"])
def test_a_defect_is_chosen_by_expectation_or_check(name: str) -> None:
    shown = repro(find("flux-tiny.nf4.quantize_.pickle.cpu"), name).shown
    assert isinstance(shown, Found)
    assert shown.check == "output"


def test_an_unknown_defect_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="no defect 'nf4'; give one of raw-safetensors-invalid"):
        repro(UNSAVED, "nf4")
    with pytest.raises(UsageError, match="leave --defect out"):
        repro(find("flux-tiny.int8wo.quantize_.state-dict.cpu"), "nf4")


def test_of_a_result_the_worst_is_shown() -> None:
    defect = observed(result(finding("requires_grad"), finding("bits", Harm.CORRUPT)), ())
    assert defect is not None
    assert isinstance(defect.shown, Found)
    assert (defect.shown.check, defect.shown.path) == ("bits", "proj_out.weight")
    assert observed(result(), ()) is None


def test_of_a_result_a_check_a_stage_or_an_expectation_can_be_chosen() -> None:
    flag = finding("requires_grad", what="requires_grad came back True")
    both = result(flag, finding("bits", Harm.CORRUPT, stage=Stage.BITS))
    for name in ("requires_grad", "structure", "reload-requires-grad"):
        defect = observed(both, EXPECTATIONS, name)
        assert defect is not None
        assert isinstance(defect.shown, Found)
        assert defect.shown.check == "requires_grad"
    with pytest.raises(UsageError, match="give one of bits, reload-requires-grad, requires_grad"):
        observed(both, EXPECTATIONS, "nonsense")


def test_a_failure_brings_its_traceback_and_its_reader() -> None:
    failure = Failure(Stage.LOAD, "x.OSError", "there is no /a/b", "Trace", Reader.FRESH)
    defect = observed(result(failure=failure), ())
    assert defect is not None
    assert defect.fresh
    assert defect.traceback == "Trace"
    assert defect.shown == Raised(Stage.LOAD, "OSError", r"there\ is\ no", "there is no /a/b")


def test_a_refusal_is_told_from_an_unclear_failure() -> None:
    refusal = Failure(Stage.SAVE, "ValueError", "not supported", leftovers=("config.json",))
    defect = observed(result(failure=refusal), ())
    assert defect is not None
    text = script(Repro(CASE, VERSIONS, defect))
    assert "sys.exit((1 if left else 0) if known else 125)" in text


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("cannot read it from /tmp/a/b.bin: broken", "cannot read it from"),
        ("3 of 4 tensors in 0x7f00aa are gone for good", "are gone for good"),
        ("size mismatch for a.weight\nsize mismatch for b.weight", "size mismatch for"),
        ("", ""),
    ],
)
def test_words_are_the_part_of_a_message_that_stays(message: str, words: str) -> None:
    assert words_of(message) == words


@given(st.text(min_size=1))
def test_words_are_in_the_message(message: str) -> None:
    words = words_of(message)
    assert words in message
    assert len(words) <= 80


@given(st.text(alphabet=st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1))
def test_a_text_that_is_looked_for_is_found(message: str) -> None:
    expression = recognised(re.escape(message))
    assert eval(expression, {"re": re, "error": f"so: {message}."})
    assert not eval(expression, {"re": re, "error": "\x00"})


@pytest.mark.parametrize(
    ("match", "expression"),
    [
        ("not there", '"not there" in str(error)'),
        (r"^no \.file", 'str(error).startswith("no .file")'),
        (r"class \w+", r're.search(r"class \w+", str(error))'),
        ('a "b" c', "'a \"b\" c' in str(error)"),
    ],
)
def test_a_pattern_is_written_as_a_person_would(match: str, expression: str) -> None:
    assert recognised(match) == expression


# Of results files.


def results_file(directory: Path, *results: Result) -> Path:
    header = Header.now(VERSIONS, {"python": "3.12.1"}, Selection(), len(results))
    with ResultsWriter(directory / "r.jsonl", header) as writer:
        for each in results:
            writer.write(each.outcome, each.judgement)
    return directory / "r.jsonl"


def test_a_results_file_says_versions_and_why_outputs_are_not_compared(tmp_path: Path) -> None:
    path = results_file(tmp_path, result(storage_only="needs CUDA"))
    made = by_result(CASE, read_results(path), known)
    assert made.defect is None
    assert made.versions["python"] == "3.12.1"
    text = script(made)
    assert "Note: needs CUDA" in text
    assert "def output(" not in text
    with pytest.raises(
        UsageError, match=r"the results have no case flux-tiny.int8wo.quantize_.safe"
    ):
        by_result(UNSAVED, read_results(path), known)


def test_a_case_without_a_result_says_how_it_ended(tmp_path: Path) -> None:
    ended = NoResult(NoResultKind.KILLED, "the process ended by SIGSEGV")
    made = by_result(CASE, read_results(results_file(tmp_path, result(no_result=ended))), known)
    assert "no result: killed: the process ended by SIGSEGV" in script(made)


WRITER, READER = "torchao0.17.0,diffusers0.42.1", "torchao0.18.0,diffusers0.42.1"


def cell(outcome: Outcome | None) -> Cell:
    if outcome is None:
        nothing = Nothing(Unmeasured.NOT_WRITTEN, "no such config")
        return Cell(CASE.id, WRITER, READER, nothing=nothing)
    return Cell(CASE.id, WRITER, READER, Readings(WRITER, CASE.id, outcome, outcome))


def exchanged(outcome: Outcome | None) -> ExchangeResults:
    versions = {WRITER: {**VERSIONS, "torchao": "0.17.0"}}, {READER: VERSIONS}
    header = ExchangeHeader(*versions, cases=(CASE.id,), globs=(), started="")
    return ExchangeResults(header, (cell(outcome),), complete=True)


FAILED = Failure(Stage.LOAD, "OSError", "Unable to load weights")


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(CASE.id),
        Outcome(CASE.id, failure=FAILED),
        Outcome(CASE.id, findings=(finding("requires_grad"),)),
        Outcome(CASE.id, findings=(finding("output", Harm.CORRUPT, stage=Stage.OUTPUT),)),
    ],
    ids=["pass", "failure", "finding", "output"],
)
def test_an_exchange_gives_two_scripts_and_a_driver(outcome: Outcome) -> None:
    writer, reader = by_cell(cell(outcome).id, exchanged(outcome))
    scripts = exchange_scripts(writer, reader)
    assert scripts.keys() == {"writer.py", "reader.py", "repro.py"}
    assert '"torchao==0.17.0"' in scripts["writer.py"]
    assert f'"torchao=={VERSIONS["torchao"]}"' in scripts["reader.py"]
    assert "quantize_" not in scripts["reader.py"].partition('"""\n\n')[2]
    assert f"written by {WRITER}, read by {READER}" in scripts["reader.py"]
    assert {name: wrong_with(scripts[name]) for name in ("writer.py", "reader.py")} == {
        "writer.py": [],
        "reader.py": [],
    }
    assert "writer.py" in scripts["repro.py"]


def test_a_cell_that_is_not_there_or_not_measured_is_refused() -> None:
    with pytest.raises(UsageError, match="have no cell nowhere"):
        by_cell("nowhere", exchanged(None))
    with pytest.raises(UsageError, match="was not measured: no such config"):
        by_cell(cell(None).id, exchanged(None))


def test_a_check_of_another_suite_is_refused() -> None:
    defect = observed(result(finding("smell")), ())
    with pytest.raises(UsageError, match="no script can show the check smell"):
        script(Repro(CASE, VERSIONS, defect))


# As an issue.


def test_an_issue_has_what_upstream_asks_for() -> None:
    made = repro(UNSAVED)
    assert made.defect is not None
    made = replace(made, defect=replace(made.defect, traceback="RuntimeError: ```"))
    text = issue(made, {"repro.py": script(made)})
    title = "# FluxTransformer2DModel with Int8WeightOnlyConfig: saving raises RuntimeError\n"
    assert text.startswith(title)
    assert "| torch | 2.13.0+cpu |" in text
    assert "## Expected\n\nSaving without an error.\n" in text
    assert "````\nRuntimeError: ```\n````" in text  # the fence is longer than what it holds
    assert script(made).strip() in text
    assert text.endswith("See also https://github.com/safetensors/safetensors/issues/515.\n")


def test_an_issue_of_an_exchange_names_both_versions() -> None:
    outcome = Outcome(CASE.id, failure=FAILED)
    writer, reader = by_cell(cell(outcome).id, exchanged(outcome))
    text = issue(reader, exchange_scripts(writer, reader), writer)
    assert f"| torchao | 0.17.0 wrote, {VERSIONS['torchao']} read |" in text
    assert "`writer.py`" in text


def test_a_traceback_loses_our_own_frames_and_paths() -> None:
    text = """\
Traceback (most recent call last):
  File "/home/me/conformance/roundtrip/ladder.py", line 58, in stage
    yield
  File "/home/me/lib/python3.11/site-packages/torch/serialization.py", line 1, in load
    fail()
OSError: no"""
    assert foreign(text) == (
        "Traceback (most recent call last):\n"
        '  File "torch/serialization.py", line 1, in load\n'
        "    fail()\n"
        "OSError: no"
    )


# Recipes as text.


def test_values_are_written_as_they_are_made() -> None:
    made = recipe("types:SimpleNamespace", "A", a=later("fractions:Fraction", 1, 2), b=[1, (2,)])
    text = config_source(made)
    assert text.text == "SimpleNamespace(a=Fraction(1, 2), b=[1, (2,)])"
    assert text.imports == {("types", "SimpleNamespace"), ("fractions", "Fraction")}
    assert source(member("enum:EnumCheck", "UNIQUE")).text == "EnumCheck.UNIQUE"
    first, second = made.build(), made.build()
    assert first.b == [1, (2,)]  # type: ignore[union-attr]
    assert first.b is not second.b  # type: ignore[union-attr]


def test_a_recipe_whose_arguments_are_a_function_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="give values to `recipe`"):
        config_source(Recipe("a:B", {}, arguments=lambda: {"x": 1}))


TAKEN = {"0.9.0": {"int8wo": "torchao.quantization:int8_weight_only()"}, "0.10.0": {}}


@pytest.mark.parametrize(
    ("torchao", "name"),
    [
        ("0.9.0", "int8_weight_only"),
        ("0.9.1+git", "int8_weight_only"),
        ("0.10.0", "Int8WeightOnlyConfig"),
        ("0.19.0.dev20260101", "Int8WeightOnlyConfig"),
        ("0.1.0", "Int8WeightOnlyConfig"),
        ("no version", "Int8WeightOnlyConfig"),
    ],
)
def test_a_recipe_is_that_of_the_newest_older_release(torchao: str, name: str) -> None:
    found = chosen(registry.schemes()["int8wo"], torchao, TAKEN)
    assert found.symbol.endswith(f":{name}")


def test_what_releases_take_was_measured_for_many() -> None:
    assert {"0.7.0", "0.17.0", "0.18.0"} <= measured().keys()
    int8 = registry.schemes()["int8wo"]
    assert chosen(int8, "0.7.0").symbol == "torchao.quantization:int8_weight_only"


ASK = """
from importlib.metadata import version
from conformance.axes.taken import all_taken
from conformance.report.repro.recipes import measured
assert all_taken() == measured().get(version("torchao"), all_taken())
"""


def test_what_the_installed_release_takes_is_what_was_measured(tmp_path: Path) -> None:
    ran = run(ASK, tmp_path)
    assert ran.code == 0, f"{ran.output}\npython -m conformance.versions.recipes ENV..."


DEFAULTS = """
from inspect import signature
from conformance.axes import registry
for subject in registry.subjects().values():
    family = subject.family
    known = signature(family.load_class().__init__).parameters
    assert family.defaults == {name: known[name].default for name in family.defaults}
"""


def test_the_defaults_that_scripts_leave_out_are_those_of_the_class(tmp_path: Path) -> None:
    ran = run(DEFAULTS, tmp_path)
    assert ran.code == 0, ran.output


# The command.


def command(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "conformance.cli", "repro", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_a_script_and_nothing_else(tmp_path: Path) -> None:
    done = command(tmp_path, UNSAVED.id)
    assert (done.returncode, done.stderr) == (0, "")
    assert wrong_with(done.stdout) == []


def test_the_command_writes_what_a_file_says_as_an_issue(tmp_path: Path) -> None:
    path = results_file(tmp_path, result(finding("bits", Harm.CORRUPT)))
    done = command(tmp_path, CASE.id, "--results", str(path), "--markdown", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "# FluxTransformer2DModel with Int8WeightOnlyConfig: bits differs"
    )
    assert wrong_with((tmp_path / "out" / "repro.py").read_text()) == []
    assert "uv run out/repro.py" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["no-case"], "`conformance list` prints the ids"),
        ([f"{CASE.id}@a>b"], "give them with --results"),
        ([CASE.id, "--defect", "x"], "give one of reload-requires-grad"),
        ([CASE.id, "--results", "nowhere.jsonl"], "cannot read the results nowhere.jsonl"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], mend: str, tmp_path: Path) -> None:
    done = command(tmp_path, *arguments)
    assert done.returncode == 2
    assert mend in " ".join(done.stderr.split())
