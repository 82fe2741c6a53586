"""Repros as text, for every case, and the command that prints them."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from called import Ran, called
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from repros import (
    CASE,
    EXPECTATIONS,
    HEADER,
    UNSAVED,
    VERSIONS,
    finding,
    repro,
    result,
    results_file,
    wrong_with,
)
from script_runner import run

from conformance._compat import tomllib
from conformance.axes import registry
from conformance.axes.base import Size
from conformance.axes.quantization import Recipe
from conformance.axes.recipes import config_source, later, member, recipe
from conformance.axes.source import source
from conformance.case import all_cases, default_cases, find
from conformance.errors import UsageError
from conformance.report.repro.body import recognised
from conformance.report.repro.defect import (
    DRAWN,
    UNSCRIPTED,
    Defect,
    Found,
    Raised,
    is_scripted,
)
from conformance.report.repro.looks import LOOKS
from conformance.report.repro.parts import requirements
from conformance.report.repro.plan import Repro
from conformance.report.repro.recipes import chosen, measured
from conformance.report.repro.said import words_of
from conformance.report.repro.script import script
from conformance.roundtrip.checks import check_names
from conformance.roundtrip.outcome import (
    Harm,
    Stage,
)

# Of all cases.


@pytest.mark.thorough
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 23], ids=["all", "some"])
def test_the_script_of_every_case_is_short_and_by_itself(step: int) -> None:
    found = {case.id: wrong_with(script(repro(case))) for case in default_cases()[::step]}
    assert len(found) * step > 3000
    assert {case: wrong for case, wrong in found.items() if wrong} == {}


@pytest.mark.thorough
def test_so_are_those_of_other_sizes_and_devices() -> None:
    usual = {each.id for each in default_cases()}
    others = [case for case in all_cases().values() if case.id not in usual and case.format.script]
    others = others[::97]
    assert {each.subject.size for each in others} == set(Size)
    assert {each.id: wrong for each in others if (wrong := wrong_with(script(repro(each))))} == {}


def test_a_format_without_lines_is_refused_in_one() -> None:
    case = find("flux-tiny.int8wo.quantize_.dcp-2-to-1.cpu")
    with pytest.raises(
        UsageError, match=r"^the format dcp-2-to-1 has no lines for a repro; give its [\w ]*$"
    ):
        script(repro(case))


@pytest.mark.thorough
def test_so_are_those_of_every_expectation() -> None:
    for expectation in EXPECTATIONS:
        cases = [each for each in default_cases() if expectation.about(each.id)]
        for case in cases[:: max(1, len(cases) // 5)]:
            assert wrong_with(script(repro(case, expectation.name))) == []


MUCH = "word " * 60
"""More than a docstring takes."""


@pytest.mark.parametrize("subject", registry.subjects())
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("check", sorted(LOOKS))
def test_so_are_those_of_every_check(check: str, fresh: bool, subject: str) -> None:
    case = replace(CASE, subject=registry.subjects()[subject])
    shown = Found(check, Stage.STRUCTURE, "it differs", "proj_out.weight/a", MUCH, MUCH)
    defect = Defect(shown, fresh, reason=MUCH, issue="https://example.org")
    assert wrong_with(script(Repro(case, VERSIONS, defect, note=MUCH))) == []


@pytest.mark.parametrize("stage", list(Stage)[2:])
def test_so_are_those_of_every_stage(stage: Stage) -> None:
    shown = Raised(stage, "OSError", "no", leaves=stage is Stage.SAVE)
    text = script(Repro(CASE, VERSIONS, Defect(shown)))
    assert wrong_with(text) == []
    assert 'type(error).__name__ == "OSError"' in text


def test_every_check_has_a_look() -> None:
    assert LOOKS.keys() | UNSCRIPTED == check_names()
    assert not LOOKS.keys() & UNSCRIPTED


# Of whole pipelines.

WHOLE = find("flux-pipeline.intx4.pipeline-config.pipeline-safetensors.cpu")


@pytest.mark.thorough
def test_the_scripts_of_pipelines_are_short_and_by_themselves_with_every_expectation() -> None:
    cases = [each for each in all_cases().values() if each.subject.pipeline is not None][::7]
    assert {each.route.name for each in cases} == registry.routes().keys()
    assert {each.format.whole for each in cases} == {True, False}
    for case in cases:
        for name in ("", *(each.name for each in EXPECTATIONS if each.about(case.id))):
            assert wrong_with(script(repro(case, name))) == [], (case.id, name)


def test_a_script_has_a_pipeline_where_the_model_goes_through_one() -> None:
    text = script(repro(WHOLE))
    assert "PipelineQuantizationConfig(quant_mapping=mapping)" in text
    assert "pipeline.save_pretrained(directory.parent, safe_serialization=True)" in text
    assert 'OTHERS = dict.fromkeys("scheduler vae text_encoder' in text
    alone = replace(WHOLE, route=CASE.route, format=CASE.format)
    assert "OTHERS" not in script(repro(alone))


def test_a_pipeline_asks_for_what_its_class_needs() -> None:
    without = {name: each for name, each in VERSIONS.items() if name != "transformers"}
    assert requirements(Repro(WHOLE, without))[-1] == "transformers"
    assert "transformers==5.1.0" in requirements(Repro(WHOLE, {**without, "transformers": "5.1.0"}))


@pytest.mark.parametrize("check", sorted(DRAWN))
def test_what_a_pipeline_draws_is_shown_by_no_script(check: str) -> None:
    defect = Defect(Found(check, Stage.OUTPUT, "it differs"))
    with pytest.raises(UsageError, match="draws with `conformance run -s CASE --pictures DIR`"):
        script(Repro(WHOLE, VERSIONS, defect))


def test_it_is_no_worse_than_what_a_script_can_show() -> None:
    drawn, bits = (finding(each, Harm.CORRUPT) for each in ("picture", "bits"))
    late = replace(drawn, stage=Stage.OUTPUT)
    assert not is_scripted(result(late).outcome)
    assert is_scripted(result(late, bits).outcome)
    assert is_scripted(result().outcome)


def test_a_sample_is_clean_for_ruff(tmp_path: Path) -> None:
    for case in default_cases()[::71]:
        (tmp_path / f"{case.id.replace('.', '_')}.py").write_text(script(repro(case)))
    options = ["--isolated", "--select=E,F,W,I", "--line-length=100"]
    command = [sys.executable, "-m", "ruff", "check", *options, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
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


@pytest.mark.thorough
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


def command(directory: Path, *arguments: str) -> Ran:
    return called("repro", *arguments, where=directory)


@pytest.mark.thorough
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
