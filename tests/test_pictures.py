"""Pictures of whole pipelines: drawing and comparing them, and what the two checks say."""

import json
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from called import called
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from conformance.axes import models, pipelines, registry
from conformance.axes.base import Device, Likeness, Pipeline, Size
from conformance.case import all_cases, default_cases, find
from conformance.errors import UnavailableError, UsageError
from conformance.judging.judge import judge
from conformance.judging.results import (
    Footer,
    Header,
    Result,
    Results,
    Selection,
    load_schema,
    read_results,
)
from conformance.judging.summary import tally
from conformance.report.pictures import table, worst
from conformance.roundtrip.checks import likeness as likeness_check
from conformance.roundtrip.checks import picture as picture_check
from conformance.roundtrip.evidence import Evidence
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.gallery import PICTURES
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.outcome import Finding, Outcome
from conformance.roundtrip.pictures import draw_twice, keep_pictures, likeness
from conformance.roundtrip.pictures import picture_facts as facts
from conformance.roundtrip.record import Output, Record

ROOT = Path(__file__).parents[1]
FLUX = registry.subjects()["flux-pipeline"]
CASE = find("flux-pipeline.int8wo.pipeline-config.pipeline-safetensors.cpu")
RECORD = Record(CASE.id, 0, ModelFacts({}, ()), None, {}, 0, {}, None, None)
FLOORED = replace(CASE, scheme=replace(CASE.scheme, likeness=Likeness(30.0, 0.9)))
ANY = Pipeline("flux-pipeline", "FluxPipeline")


def frames(count: int = 2, value: float = 0.5) -> torch.Tensor:
    """Frames of 8 x 9 pixels that are all different."""
    generator = torch.Generator().manual_seed(0)
    return value * torch.rand(count, 8, 9, 3, generator=generator)


# Likeness


def test_equal_pictures_are_infinitely_like() -> None:
    assert likeness(frames(), frames()) == Likeness(math.inf, 1.0)


@given(st.floats(0.01, 0.5))
def test_the_psnr_of_an_even_difference_is_known(step: float) -> None:
    flat = torch.zeros(1, 8, 9, 3)
    assert likeness(flat, flat + step).psnr == pytest.approx(-20 * math.log10(step), abs=1e-3)


def test_the_worst_frame_counts() -> None:
    got = frames(3)
    got[1] += 0.1
    assert likeness(frames(3), got).psnr == pytest.approx(20.0, abs=1e-3)
    assert likeness(frames(3), got).ssim < 1.0


def test_pictures_of_different_length_are_not_compared_in_part() -> None:
    with pytest.raises(ValueError, match="shorter"):
        likeness(frames(3), frames(2))


# The checks


def looked(
    wanted: tuple[Output, ...], got: tuple[Output, ...], alike: Likeness | None = None
) -> Evidence:
    return Evidence(FLOORED, replace(RECORD, pictures=wanted), pictures=got, likeness=alike)


def said(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(each.path, each.what) for each in findings]


def test_equal_frames_are_silent() -> None:
    evidence = looked(facts(frames()), facts(frames()))
    assert said(picture_check.CHECK.findings(evidence)) == []


def test_one_changed_bit_of_one_frame_is_found_there() -> None:
    changed = frames()
    changed[1, 3, 3, 0] = torch.nextafter(changed[1, 3, 3, 0], torch.tensor(1.0))
    evidence = looked(facts(frames()), facts(changed))
    assert said(picture_check.CHECK.findings(evidence)) == [("picture/1", "picture differs")]


def test_a_lost_frame_is_found() -> None:
    evidence = looked(facts(frames(2)), facts(frames(2))[:1])
    found = [("picture", "number of frames differs")]
    assert said(picture_check.CHECK.findings(evidence)) == found


def test_without_pictures_there_is_nothing_to_say() -> None:
    assert said(picture_check.CHECK.findings(looked((), facts(frames())))) == []
    assert said(likeness_check.CHECK.findings(looked((), ()))) == []


@pytest.mark.parametrize(
    ("alike", "found"),
    [
        (Likeness(30.0, 0.9), []),
        (Likeness(29.9, 0.9), ["PSNR is below the floor"]),
        (Likeness(30.0, 0.89), ["SSIM is below the floor"]),
        (Likeness(math.nan, math.nan), ["PSNR is below the floor", "SSIM is below the floor"]),
        (Likeness(math.inf, 1.0), ["equals the unquantized picture"]),
    ],
)
def test_likeness_is_held_against_the_floors(alike: Likeness, found: list[str]) -> None:
    findings = likeness_check.CHECK.findings(looked((), (), alike))
    assert [each.what for each in findings] == found


def test_without_floors_only_an_equal_picture_is_a_finding() -> None:
    bare = replace(CASE, scheme=replace(CASE.scheme, likeness=None))
    far, equal = (Evidence(bare, RECORD, likeness=Likeness(psnr, 1.0)) for psnr in (0.0, math.inf))
    assert said(likeness_check.CHECK.findings(far)) == []
    assert said(likeness_check.CHECK.findings(equal)) == [
        ("picture", "equals the unquantized picture")
    ]


# Drawing


class Painter:
    """A pipeline that paints the noise of the generator it is given; the real one does more."""

    def __init__(self, spread: float = 1.0) -> None:
        self.spread = spread

    def __call__(self, *, generator: torch.Generator, **_: Any) -> tuple[torch.Tensor]:
        noise = torch.rand(1, 3, 8, 9, generator=generator)
        return (0.5 + self.spread * (noise - 0.5),)


class Careless(Painter):
    """Uses one generator for every call, whatever it is given."""

    def __call__(self, **_: Any) -> tuple[torch.Tensor]:
        return (torch.rand(1, 3, 8, 9),)


def test_every_call_gets_a_generator_seeded_anew() -> None:
    first, second = (pipelines.draw(ANY, Painter(), 0) for _ in range(2))
    other = pipelines.draw(ANY, Painter(), 1)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.shape == (1, 8, 9, 3)


def test_a_generator_that_is_used_twice_gives_other_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (Painter()(generator=generator)[0] for _ in range(2))
    assert not torch.equal(first, second)


def test_frames_of_a_video_come_one_after_another() -> None:
    video = torch.rand(1, 5, 3, 8, 9)
    drawn = pipelines.draw(ANY, lambda **_: (video,), 0)
    assert drawn.shape == (5, 8, 9, 3)
    assert torch.equal(drawn[4, :, :, 2], video[0, 4, 2])


def test_a_pipeline_that_disagrees_with_itself_is_not_compared() -> None:
    with pytest.raises(HarnessError, match="two different pictures"):
        draw_twice(ANY, Careless(), 0)


def test_a_picture_of_one_colour_proves_nothing() -> None:
    with pytest.raises(HarnessError, match="one colour"):
        draw_twice(ANY, Painter(spread=0.001), 0)
    assert draw_twice(ANY, Painter(), 0).std() > 0.1


def test_pictures_are_kept_with_8_bits_a_colour(tmp_path: Path) -> None:
    keep_pictures(tmp_path, reference=torch.full((1, 8, 9, 3), 0.5), quantized=None)
    with np.load(tmp_path / PICTURES) as kept:
        assert kept.files == ["reference"]
        assert kept["reference"].dtype == np.uint8
        assert set(kept["reference"].flat) == {128}


# The document

FLOORS = re.compile(r"^\| `([a-z0-9-]+)` \|(.*)\| *([\d.]*) \| *([\d.]*) \|$", re.MULTILINE)


def test_the_worst_of_several_cases_is_told() -> None:
    measures = ({"psnr_db": 30.0, "ssim": 0.9}, {"psnr_db": 31.0, "ssim": 0.8}, {"sqnr_db": 1.0})
    names = ("pickle", "safetensors", "pipeline-pickle")
    ids = [f"flux-pipeline.int8wo.torchao-config.{name}.cpu" for name in names]
    outcomes = [Outcome(case, measures=each) for case, each in zip(ids, measures, strict=True)]
    cases = {each.case: Result(each, judge(each, ())) for each in outcomes}
    header = Header({}, {}, Selection(), 3, "")
    results = Results(
        header, cases, Footer(tally(each.judgement for each in cases.values()), (), True, "")
    )
    assert worst(results) == {("int8wo", "flux-pipeline"): Likeness(30.0, 0.8)}


def test_the_table_has_a_row_for_what_was_measured() -> None:
    schemes = [replace(CASE.scheme, likeness=Likeness(20.0, 0.5)), registry.schemes()["int8dq"]]
    lines = table({("int8wo", "flux-pipeline"): Likeness(30.04, 0.9)}, schemes)
    assert (
        lines[0] == "| scheme | flux-pipeline PSNR | flux-pipeline SSIM | floor PSNR | floor SSIM |"
    )
    assert lines[2:] == ["| `int8wo` | 30.0 | 0.900 | 20.0 | 0.500 |"]


def test_the_document_names_the_floors_that_hold_and_they_held() -> None:
    rows = FLOORS.findall((ROOT / "docs" / "pictures.md").read_text(encoding="utf-8"))
    drawn = {name for name, scheme in registry.schemes().items() if scheme.likeness}
    assert {name for name, *_ in rows} == drawn
    for name, measured, psnr, ssim in rows:
        floor = registry.schemes()[name].likeness
        assert (psnr, ssim) == (
            ("", "") if floor is None else (f"{floor.psnr:.1f}", f"{floor.ssim:.3f}")
        )
        numbers = [float(each) for each in measured.split("|") if each.strip()]
        assert floor is None or min(numbers[::2]) >= floor.psnr
        assert floor is None or min(numbers[1::2]) >= floor.ssim


# The record


def test_a_record_keeps_the_frames_and_is_what_it_was_without(tmp_path: Path) -> None:
    drawn = replace(RECORD, pictures=facts(frames()))
    drawn.save(tmp_path)
    assert Record.load(tmp_path) == drawn
    assert "pictures" not in RECORD.to_json()


# Axes


def test_whole_routes_and_formats_are_for_subjects_with_a_pipeline() -> None:
    whole = [each for each in all_cases().values() if each.route.whole or each.format.whole]
    assert {each.subject.name for each in whole} == {"flux-pipeline", "cogvideox-pipeline"}
    assert {each.subject.size for each in whole} == {Size.PIPELINE}


def test_every_way_to_a_picture_is_a_case() -> None:
    ways = {
        (each.route.name, each.format.name)
        for each in all_cases().values()
        if (each.subject, each.scheme.name, each.device) == (FLUX, "int8wo", Device.CPU)
    }
    routes = {"quantize_", "torchao-config", "pipeline-config"}
    formats = {"pickle", "safetensors", "pipeline-pickle", "pipeline-safetensors"}
    assert ways == {(route, form) for route in routes for form in formats}


def test_pipelines_are_run_when_they_are_asked_for() -> None:
    assert not [each for each in default_cases() if each.subject.pipeline]


# The parts


def test_without_transformers_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "NEEDED", "transformers_of_no_one")
    with pytest.raises(UnavailableError, match="needs the package transformers_of_no_one"):
        pipelines.load_class(ANY)


def test_a_class_that_is_not_there_is_named() -> None:
    with pytest.raises(UnavailableError, match="diffusers has no FluxPipelineOfTomorrow"):
        pipelines.load_class(replace(ANY, pipeline_class="FluxPipelineOfTomorrow"))


def test_a_pipeline_without_parts_names_the_file_to_add() -> None:
    with pytest.raises(UsageError, match=r"add fixtures/pipelines/nobody\.json"):
        pipelines.pipeline_config(Pipeline("nobody", "FluxPipeline"))


def test_a_tokenizer_that_takes_no_vocabulary_is_not_available() -> None:
    class Old:
        def __init__(self, vocab_file: str) -> None:
            self.vocab_file = vocab_file

    with pytest.raises(UnavailableError, match="Old of this transformers takes no vocabulary"):
        pipelines._tokenizer(Old, {"vocab": {}})


@pytest.mark.thorough
@pytest.mark.parametrize("subject", ["flux-pipeline", "cogvideox-pipeline"])
def test_parts_are_made_alike_from_a_seed_and_tied_weights_stay_tied(subject: str) -> None:
    pipeline = registry.subjects()[subject].pipeline
    assert pipeline is not None
    described = pipelines.pipeline_config(pipeline)["parts"]
    for name, each in described.items():
        drawings = [partial(models.weight, seed=seed) for seed in (0, 0, 1)]
        first, same, other = (pipelines.part(name, each, draw) for draw in drawings)
        if not isinstance(first, torch.nn.Module):
            continue
        assert all(torch.equal(a, b) for a, b in zip_parameters(first, same))
        assert not all(torch.equal(a, b) for a, b in zip_parameters(first, other))
        assert len(list(first.parameters())) == len(list(same.parameters()))


def zip_parameters(left: Any, right: Any) -> Any:
    return zip(left.parameters(), right.parameters(), strict=True)


@pytest.mark.thorough
@pytest.mark.parametrize("subject", ["flux-pipeline", "cogvideox-pipeline"])
def test_the_prompt_is_known_letter_by_letter(subject: str) -> None:
    pipeline = registry.subjects()[subject].pipeline
    assert pipeline is not None
    config = pipelines.pipeline_config(pipeline)
    prompt, longest = config["call"]["prompt"], config["call"]["max_sequence_length"]
    for name in (each for each in config["parts"] if each.startswith("tokenizer")):
        tokenizer = pipelines.part(name, config["parts"][name], partial(models.weight, seed=0))
        ids = tokenizer(prompt).input_ids
        letters = [each for each in ids if each not in tokenizer.all_special_ids]
        assert len(letters) >= len(prompt.replace(" ", ""))
        assert len(ids) <= longest
        assert tokenizer.decode(letters).strip() == prompt


# A whole run


@pytest.mark.slow
def test_a_run_hangs_what_it_draws_and_names_it_in_the_results(tmp_path: Path) -> None:
    results, folder = tmp_path / "results.jsonl", tmp_path / "hung" / "here"
    case = "flux-pipeline.int8wo.quantize_.pickle.cpu"
    command = ("run", "--select", case, "--results", str(results), "--pictures", str(folder))
    ended = called(*command, where=tmp_path)
    assert ended.returncode == 0, ended.stdout
    outcome = read_results(results).cases[case].outcome
    assert set(outcome.pictures) == {
        f"{name}.png" for name in ("reference", "quantized", "reloaded", "difference")
    }
    shown = {name: imageio.imread(tmp_path / path) for name, path in outcome.pictures.items()}
    assert {each.shape for each in shown.values()} == {(48, 64, 3)}
    assert np.array_equal(shown["quantized.png"], shown["reloaded.png"])
    assert not np.array_equal(shown["reference.png"], shown["reloaded.png"])
    assert outcome.measures["psnr_db"] > 40
    assert check_schema(results) == []


def check_schema(results: Path) -> list[str]:
    """Say what in a results file is not as the published schema has it."""
    validator = Draft202012Validator(load_schema())
    lines = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    return [error.message for line in lines for error in validator.iter_errors(line)]
