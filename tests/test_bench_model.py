"""The benchmark of whole pipelines: rows, deaths, stopwatches, tables. CUDA itself: not run."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance.axes import models as subjects
from conformance.axes import pipelines, registry
from conformance.axes.base import Device
from conformance.bench import model, shown
from conformance.bench.benched import BENCHED, NONE
from conformance.bench.model import Bench, Plan, Row
from conformance.bench.stopwatch import CLEAR, CpuWatch, CudaWatch
from conformance.errors import UsageError
from conformance.roundtrip.premises import sweep

TOY = """
import json, os, signal, sys
half, name, scheme, device, directory, *more = sys.argv[1:]
print("part:", half, "it", flush=True)
if scheme == "int8wo" and "--compile" in more:
    os.kill(os.getpid(), signal.SIGSEGV)
if scheme == "int8dq":
    raise RuntimeError("no kernel for it")
if half == "save":
    open(os.path.join(directory, "weights"), "w").write(scheme)
    print(json.dumps({"disk_bytes": 10 * len(scheme)}))
else:
    assert open(os.path.join(directory, "weights")).read() == scheme
    times = [3.0, 1.0, 2.0][: int(more[0])]
    told = {"load_seconds": 0.5, "first_seconds": 9.0, "seconds": times, "peak_bytes": 7}
    told["spread"] = 0.25
    print("chatter of a library")
    print(json.dumps(told))
"""
"""Stands for `conformance.bench.drawn`: the processes are real, the models are not."""

PLAN = Plan("flux-small", (NONE, "int8wo", "int8dq"), Device.CPU, 3, (False, True))
BENCH = Bench(
    "flux-schnell",
    "cpu",
    3,
    {"torch": "2.13.0", "torchao": "0.18.0", "diffusers": "0.42.1"},
    {"gpu": "none", "processor": "a processor"},
    (Row(NONE, compiled=False, seconds=1.5, first_seconds=2.0, times=(1.5,), peak_bytes=10**9),),
)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_drawn.py").write_text(TOY, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(model, "MODULE", "toy_drawn")


@pytest.mark.thorough
@pytest.mark.usefixtures("toy")
def test_a_row_is_a_scheme_and_a_way_and_a_dead_process_takes_only_its_own() -> None:
    notes: list[str] = []
    *_, last = model.measure(PLAN, notes.append)
    plain = Row(NONE, False, "", 0.5, 9.0, 2.0, (3.0, 1.0, 2.0), 7, 40, 0.25)
    died = "draw: the process ended by SIGSEGV"
    refused = "save: RuntimeError: no kernel for it"
    assert last.rows == (
        plain,
        replace(plain, compiled=True),
        replace(plain, scheme="int8wo", disk_bytes=60),
        Row("int8wo", compiled=True, reason=died, disk_bytes=60),
        Row("int8dq", compiled=False, reason=refused),
        Row("int8dq", compiled=True, reason=refused),
    )
    assert notes[:3] == ["none: save it", "none: draw it", "none, compiled: draw it"]


@pytest.mark.thorough
@pytest.mark.usefixtures("toy")
def test_every_row_is_told_when_it_is_there() -> None:
    assert [len(each.rows) for each in model.measure(PLAN, lambda _: None)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.thorough
@pytest.mark.usefixtures("toy")
def test_a_process_that_takes_too_long_is_ended() -> None:
    plan = replace(PLAN, schemes=(NONE,), compiled=(False,), timeout=0.001)
    (bench,) = model.measure(plan, lambda _: None)
    assert bench.rows[0].reason == "save: took longer than 0 s"


@pytest.mark.usefixtures("toy")
def test_no_file_is_left_also_where_a_benchmark_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = model.measure(PLAN, lambda _: None)
    next(rows)
    (premises,) = tmp_path.glob("conformance-*")
    assert (premises / NONE / "weights").read_text() == NONE
    assert sweep(tmp_path) == []
    rows.close()
    assert list(tmp_path.glob("conformance-*")) == []


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"name": "flux-huge"}, "there are flux-small"),
        ({"schemes": ("int9wo",)}, "`conformance schemes` lists them"),
        ({"device": Device.CUDA}, "--device cpu"),
    ],
)
def test_a_plan_that_cannot_be_done_names_the_mend(
    change: dict[str, Any], mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "has_cuda", lambda: False)
    assert model.checked(PLAN) is PLAN
    with pytest.raises(UsageError, match=re.escape(mend)):
        model.checked(replace(PLAN, **change))


def test_a_benchmark_is_read_back_as_it_was_written() -> None:
    assert Bench.from_json(json.loads(json.dumps(BENCH.to_json()))) == BENCH


# What is shown


def test_published_numbers_stand_apart_and_are_called_so() -> None:
    head, rows = shown.cells(BENCH)
    assert head[-2:] == ["published s", "published GB"]
    assert rows == [[NONE, "1.500", "2.00", "1.000", "0.00", "0.000", "0.660", "31.451"]]
    assert "Published by others, not measured here: one H100" in shown.markdown(BENCH)
    assert BENCH.to_json()["published"]["rows"][NONE] == {"seconds": 0.66, "gigabytes": 31.451}


def test_where_nothing_was_published_nothing_is_shown() -> None:
    bench = replace(BENCH, name="flux-small")
    assert shown.cells(bench)[0] == list(shown.COLUMNS)
    assert "ublished" not in shown.markdown(bench)


def test_published_numbers_are_not_those_of_a_compiled_row() -> None:
    compiled = replace(BENCH, rows=(replace(BENCH.rows[0], compiled=True),))
    assert shown.cells(compiled)[1][0][-2:] == ["", ""]


def test_without_a_gpu_it_says_that_cuda_was_not_run() -> None:
    assert shown.notes(BENCH)[-1] == "CUDA: not run."
    hardware = {"gpu": "a GPU", "processor": "a processor"}
    on_cuda = replace(BENCH, device="cuda", hardware=hardware)
    assert "CUDA: not run." not in shown.notes(on_cuda)
    assert "a GPU" in shown.notes(on_cuda)[0]


def test_a_row_without_numbers_says_why() -> None:
    row = Row("int8wo", compiled=True, reason="draw: the process ended by SIGSEGV")
    cells = shown.cells(replace(BENCH, rows=(row,)))[1][0]
    assert cells == ["int8wo, compiled", row.reason, "", "", "", "", "", ""]


@pytest.mark.thorough
def test_a_plot_has_a_bar_a_row(tmp_path: Path) -> None:
    shown.plot(BENCH, shown.plottable(tmp_path / "bench.svg"))
    drawn = (tmp_path / "bench.svg").read_text(encoding="utf-8")
    assert "seconds a picture" in drawn
    assert "published, one H100" in drawn


@pytest.mark.parametrize("name", ["bench.nothing", "nowhere/bench.svg"])
def test_what_cannot_be_plotted_is_told_before_anything_is_measured(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match=r"give a \.svg, \.png, \.pdf in a folder that exists"):
        shown.plottable(tmp_path / name)


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'matplotlib>=3\.8'"):
        shown.plottable(Path("bench.svg"))


# The stopwatches


class Cuda:
    """Stands for `torch.cuda`: writes down what it is asked for; an event is its place there."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)

    def Event(self, *, enable_timing: bool) -> Any:  # noqa: N802 - torch calls it so
        assert enable_timing
        cuda = self

        class Event:
            def record(self) -> None:
                cuda.calls.append("record")
                self.at = len(cuda.calls)

            def elapsed_time(self, other: Any) -> float:
                assert cuda.calls[-1] == "synchronize"
                return 1000.0 * float(other.at - self.at)

        return Event()

    def max_memory_allocated(self) -> int:
        return 42


def test_cuda_is_timed_by_events_around_the_call_and_waited_for() -> None:
    cuda = Cuda()

    def work() -> str:
        cuda.calls.append("work")
        return "made"

    seconds, made = CudaWatch(cuda).time(work)
    assert cuda.calls == ["synchronize", "record", "work", "record", "synchronize"]
    assert (seconds, made) == (2.0, "made")


def test_cuda_memory_is_reset_between_rows() -> None:
    cuda = Cuda()
    watch = CudaWatch(cuda)
    watch.reset()
    assert cuda.calls == ["empty_cache", "reset_peak_memory_stats"]
    assert watch.peak() == 42


def test_the_peak_of_the_cpu_sees_what_came_and_went() -> None:
    watch = CpuWatch()
    watch.reset()
    before = watch.peak()
    _, length = watch.time(lambda: len(b"x" * 2**27))
    assert watch.peak() - before >= 0.9 * length
    if CLEAR.exists():
        watch.reset()
        assert watch.peak() - before < 0.5 * length


# The real sizes


PARTS = {
    ("flux-schnell", "text_encoder"): 123_060_480,  # CLIP-L
    ("flux-schnell", "text_encoder_2"): 4_762_310_656,  # the encoder of T5-XXL
    ("cogvideox-5b", "text_encoder"): 4_762_310_656,
}
"""Parameters of the published parts."""


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "part"), PARTS)
def test_text_encoders_have_their_published_size(name: str, part: str) -> None:
    assert parameters(name, part) == PARTS[name, part]


def parameters(name: str, part: str) -> int:
    from accelerate import init_empty_weights

    described = pipelines.pipeline_config(BENCHED[name].pipeline)["parts"][part]
    with init_empty_weights():
        built = pipelines.constructed(described)
    # On the meta device T5's two names of one embedding are two parameters.
    named = dict(built.named_parameters())
    named.pop("encoder.embed_tokens.weight", None)
    return sum(each.numel() for each in named.values())


@pytest.mark.thorough
@pytest.mark.parametrize("name", BENCHED)
def test_the_parts_fit_the_transformer(name: str) -> None:
    benched = BENCHED[name]
    transformer = subjects.model_config(registry.subjects()[benched.subject])
    parts = pipelines.pipeline_config(benched.pipeline)["parts"]
    arguments = {key: each["arguments"] for key, each in parts.items()}
    latents = arguments["vae"]["latent_channels"]
    if benched.pipeline.pipeline_class == "FluxPipeline":
        assert transformer["in_channels"] == 4 * latents
        assert transformer["joint_attention_dim"] == arguments["text_encoder_2"]["d_model"]
        assert transformer["pooled_projection_dim"] == arguments["text_encoder"]["hidden_size"]
    else:
        assert transformer["in_channels"] == latents
        assert transformer["text_embed_dim"] == arguments["text_encoder"]["d_model"]
