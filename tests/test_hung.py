"""What pipelines drew goes into the report: small pictures inside the file, the others as links."""

import json
from base64 import b64decode
from dataclasses import replace
from html import unescape
from io import BytesIO
from pathlib import Path

import pytest
from called import called
from PIL import Image
from report_pages import KNOWN, TIMED, A, B, Read
from repros import results_file
from test_comparison import NEW, results

from conformance.case import find
from conformance.judging.judge import judge
from conformance.judging.results import Result, Results
from conformance.report.html import of_run, render
from conformance.report.html.island import packed
from conformance.report.hung import TITLES, hung
from conformance.roundtrip.outcome import Outcome

NAMES = tuple(TITLES)
DRAWN = "flux-pipeline.int8wo.quantize_.pickle.cpu"


def image(path: Path, colour: tuple[int, int, int]) -> Path:
    """Write a picture, or a film of two frames, of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [Image.new("RGB", (8, 6), each) for each in (colour, (9, 9, 9))]
    if path.suffix == ".gif":
        frames[0].save(path, save_all=True, append_images=frames[1:])
    else:
        frames[0].save(path)
    return path


def drawn(folder: Path, kind: str = ".png", beside: tuple[str, ...] = ()) -> Results:
    """Two cases with four pictures each; before and after saving they are the same."""
    colours = {"reference": 10, "quantized": 20, "reloaded": 20, "difference": 30}
    outcomes = {}
    for case in (A, B):
        for name, red in colours.items():
            image(folder / "drawn" / case / f"{name}{kind}", (red, 0, 0))
        ends = (kind, *beside)
        files = {f"{name}{end}": f"drawn/{case}/{name}{end}" for name in NAMES for end in ends}
        outcomes[case] = replace(TIMED, pictures=files)
    return results(outcomes, NEW)


@pytest.mark.parametrize(("kind", "head"), [(".png", "image/png"), (".gif", "image/gif")])
def test_small_pictures_are_embedded_in_the_order_of_their_making(
    kind: str, head: str, tmp_path: Path
) -> None:
    found = hung(drawn(tmp_path, kind), tmp_path, tmp_path)
    assert found.keys() == {A, B}
    assert [each.title for each in found[A]] == list(TITLES.values())
    assert all(each.source.startswith(f"data:{head};base64,") for each in found[A])
    sources = [each.source for each in found[A]]
    assert sources[1] == sources[2]
    assert len(set(sources)) == 3


def test_a_film_comes_before_its_frames(tmp_path: Path) -> None:
    for name in ("reloaded.gif", "reloaded-0.png", "reloaded.png"):
        image(tmp_path / name, (1, 2, 3))
    files = {name: name for name in ("reloaded-0.png", "reloaded.png", "reloaded.gif")}
    found = hung(results({A: replace(TIMED, pictures=files)}, NEW), tmp_path, tmp_path)
    assert [each.source.partition(";")[0] for each in found[A]] == ["data:image/gif"]


def test_a_film_has_links_to_its_mp4_and_its_frames_in_order(tmp_path: Path) -> None:
    image(tmp_path / "reloaded.gif", (1, 2, 3))
    names = ["reloaded.gif", *(f"reloaded-{each}.png" for each in range(11)), "reloaded.mp4"]
    files = {name: f"here/{name}" for name in sorted(names)}
    made = results({A: replace(TIMED, pictures=files)}, NEW)
    (film,) = hung(made, tmp_path, tmp_path / "reports")[A]
    frames = [(f"frame {each}", f"../here/reloaded-{each}.png") for each in range(11)]
    assert film.links == (("mp4", "../here/reloaded.mp4"), *frames)


@pytest.mark.parametrize("path", ["javascript:alert(1)//x.mp4", "a.svg", "https://a/x.mp4"])
def test_a_link_of_a_film_is_only_a_path_to_a_film(path: str, tmp_path: Path) -> None:
    files = {"reloaded.gif": "a.gif", "reloaded.mp4": path}
    made = results({A: replace(TIMED, pictures=files)}, NEW)
    (film,) = hung(made, tmp_path, tmp_path)[A]
    assert not any(":" in link for _, link in film.links)
    assert len(film.links) == path.endswith(".mp4")


def test_equal_pictures_are_counted_and_kept_once(tmp_path: Path) -> None:
    made = drawn(tmp_path)
    whole = hung(made, tmp_path, tmp_path)
    size = sum(map(len, {each.source for case in whole.values() for each in case}))
    assert hung(made, tmp_path, tmp_path, limit=size) == whole
    page = of_run(made, replace(KNOWN, pictures=whole))
    assert len(packed(page)["pictures"]) == 3


def test_what_has_no_room_is_a_link_from_the_report(tmp_path: Path) -> None:
    found = hung(drawn(tmp_path), tmp_path, tmp_path / "reports", limit=0)
    assert [each.source for each in found[A]] == [f"../drawn/{A}/{name}.png" for name in NAMES]


@pytest.mark.parametrize("content", [b"", b"root:x:0:0", b"<svg onload=alert(1)>", None])
def test_what_is_no_picture_is_not_embedded(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "secret.png").write_bytes(content)
    made = results({A: replace(TIMED, pictures={"reloaded.png": "secret.png"})}, NEW)
    assert hung(made, tmp_path, tmp_path)[A][0].source == "secret.png"


@pytest.mark.parametrize("path", ["javascript:alert(1)//x.png", 'a"b.png', "a b?#.png"])
def test_a_link_is_only_a_path(path: str, tmp_path: Path) -> None:
    made = results({A: replace(TIMED, pictures={"reloaded.png": path})}, NEW)
    (shown,) = hung(made, tmp_path, tmp_path)[A]
    assert not set(shown.source) & set(":\"'?# ")


def test_another_kind_of_file_is_not_shown(tmp_path: Path) -> None:
    files = {"reloaded.png": "a.svg", "other.png": "a.png"}
    made = results({A: replace(TIMED, pictures=files)}, NEW)
    assert hung(made, tmp_path, tmp_path) == {A: ()}


def test_only_a_page_with_pictures_lets_them_be_shown(tmp_path: Path) -> None:
    made = drawn(tmp_path)
    without = render(of_run(made, KNOWN))
    document = render(of_run(made, replace(KNOWN, pictures=hung(made, tmp_path, tmp_path))))
    assert "img-src" not in unescape(without)
    assert "default-src 'none'" in unescape(document)
    assert "img-src data:;" in unescape(document)
    assert len(json.loads(Read.of(document).data)["pictures"]) == 3


@pytest.mark.thorough
def test_the_command_embeds_what_the_results_name(tmp_path: Path) -> None:
    image(tmp_path / "drawn" / "reloaded.png", (1, 2, 3))
    outcome = Outcome(find(DRAWN).id, pictures={"reloaded.png": "drawn/reloaded.png"})
    path = results_file(tmp_path, Result(outcome, judge(outcome, ())))
    done = called("report", str(path), where=tmp_path)
    assert done.returncode == 0, done.stderr
    document = path.with_suffix(".html").read_text(encoding="utf-8")
    (source,) = json.loads(Read.of(document).data)["pictures"]
    assert Image.open(BytesIO(b64decode(source.partition(",")[2]))).getpixel((0, 0)) == (1, 2, 3)
