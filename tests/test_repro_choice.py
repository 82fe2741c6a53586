"""What a repro shows: of expectations, of results, of an exchange; and as an issue."""

from dataclasses import replace
from pathlib import Path

import pytest
from repros import (
    CASE,
    EXPECTATIONS,
    UNSAVED,
    VERSIONS,
    cell,
    exchanged,
    finding,
    known,
    repro,
    result,
    results_file,
    wrong_with,
)

from conformance.case import find
from conformance.errors import UsageError
from conformance.judging.results import read_results
from conformance.report.repro.choose import by_cell, by_result
from conformance.report.repro.defect import Found, Raised, declared, observed
from conformance.report.repro.issue import foreign, issue
from conformance.report.repro.plan import Repro
from conformance.report.repro.script import exchange_scripts, script
from conformance.roundtrip.outcome import (
    Failure,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Reader,
    Stage,
)

# What is shown.


def test_without_results_a_script_shows_what_is_expected() -> None:
    defect = repro(UNSAVED).defect
    assert defect is not None
    assert defect.shown == Raised(
        Stage.SAVE,
        "RuntimeError",
        "Attempted to access the data pointer on an invalid python storage",
        "Attempted to access the data pointer on an invalid python storage.",
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
    for name in ("requires_grad", "structure", "reload-requires-grad-of-int8"):
        defect = observed(both, EXPECTATIONS, name)
        assert defect is not None
        assert isinstance(defect.shown, Found)
        assert defect.shown.check == "requires_grad"
    with pytest.raises(
        UsageError, match="give one of bits, reload-requires-grad-of-int8, requires_grad"
    ):
        observed(both, EXPECTATIONS, "nonsense")


def test_a_failure_brings_its_traceback_and_its_reader() -> None:
    failure = Failure(Stage.LOAD, "x.OSError", "there is no /a/b", "Trace", Reader.FRESH)
    defect = observed(result(failure=failure), ())
    assert defect is not None
    assert defect.fresh
    assert defect.traceback == "Trace"
    assert defect.shown == Raised(Stage.LOAD, "OSError", r"there\ is\ no", "there is no <path>")


def test_a_refusal_is_told_from_an_unclear_failure() -> None:
    refusal = Failure(Stage.SAVE, "ValueError", "not supported", leftovers=("config.json",))
    defect = observed(result(failure=refusal), ())
    assert defect is not None
    text = script(Repro(CASE, VERSIONS, defect))
    assert "sys.exit((1 if left else 0) if known else 125)" in text


# Of results files.


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
    moved = f"written with torchao 0.17.0, read with torchao {VERSIONS['torchao']}"
    assert all(moved in " ".join(each.split()) for each in scripts.values())
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
    assert "**Expected:** saving without an error.\n" in text
    assert "````\nRuntimeError: ```\n````" in text  # the fence is longer than what it holds
    assert script(made).strip() in text
    assert "\nSee also https://github.com/safetensors/safetensors/issues/515.\n" in text


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
