"""Pictures and films as files that a person can look at."""

import importlib.util
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from test_pictures import CASE, frames

from conformance.errors import UsageError
from conformance.roundtrip.gallery import AMPLIFIED, ENLARGED, Gallery, written
from conformance.roundtrip.outcome import Outcome
from conformance.roundtrip.pictures import keep_pictures


def drawn(place: Path, count: int) -> Path:
    place.mkdir()
    reloaded = frames(count)
    reloaded[0, 2, 3, 1] += 2 / 255
    keep_pictures(place, reference=frames(count), quantized=frames(count), reloaded=reloaded)
    return place


def test_a_picture_is_hung_beside_what_it_differs_in(tmp_path: Path) -> None:
    gallery = Gallery.at(tmp_path / "shown" / "here", beside=tmp_path)
    outcome = gallery.hang(Outcome(CASE.id), drawn(tmp_path / "work", 1))
    names = ["reference.png", "quantized.png", "reloaded.png", "difference.png"]
    place = f"shown/here/{CASE.id}"
    assert outcome.pictures == {name: f"{place}/{name}" for name in names}
    shown = imageio.imread(tmp_path / outcome.pictures["difference.png"])
    assert shown.shape == (8, 9, 3)
    assert {tuple(map(int, place)): int(shown[tuple(place)]) for place in np.argwhere(shown)} == {
        (2, 3, 1): 2 * AMPLIFIED
    }


def test_a_film_is_hung_as_a_whole_and_frame_by_frame(tmp_path: Path) -> None:
    gallery = Gallery.at(tmp_path, beside=tmp_path / "results")
    outcome = gallery.hang(Outcome(CASE.id), drawn(tmp_path / "work", 2))
    assert outcome.pictures["reloaded.gif"] == f"../{CASE.id}/reloaded.gif"
    stills = {name for name in outcome.pictures if not name.endswith(".mp4")}
    assert len(stills) == 4 * 3
    assert len(imageio.imread(tmp_path / CASE.id / "reloaded.gif")) == 2
    frame = (frames(2)[1] * 255).round().to(torch.uint8).numpy()
    assert np.array_equal(imageio.imread(tmp_path / CASE.id / "reference-1.png"), frame)


def test_a_film_is_an_mp4_too_whose_pixels_are_squares(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    blocks = np.arange(3 * 9 * 11 * 3, dtype=np.uint8).reshape(3, 9, 11, 3)
    assert "reloaded.mp4" in set(written(tmp_path, {"reloaded": blocks}))
    film = imageio.imread(tmp_path / "reloaded.mp4", plugin="FFMPEG")
    assert film.shape == (3, 9 * ENLARGED, 11 * ENLARGED, 3)
    middles = film[:, ENLARGED // 2 :: ENLARGED, ENLARGED // 2 :: ENLARGED]
    assert np.abs(middles.astype(int) - blocks).mean() < 3
    assert imageio.immeta(tmp_path / "reloaded.mp4", plugin="FFMPEG")["fps"] == 8


def test_without_ffmpeg_a_film_is_a_gif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    made = set(written(tmp_path, {"reloaded": np.zeros((2, 8, 8, 3), np.uint8)}))
    assert made == {"reloaded.gif", "reloaded-0.png", "reloaded-1.png"}


def test_a_case_that_drew_nothing_names_no_pictures(tmp_path: Path) -> None:
    assert Gallery.at(tmp_path, beside=tmp_path).hang(Outcome(CASE.id), tmp_path) == Outcome(
        CASE.id
    )
    assert "pictures" not in Outcome(CASE.id).to_json()


def test_an_outcome_keeps_the_names_of_its_pictures() -> None:
    outcome = Outcome(CASE.id, pictures={"reloaded.png": "here/reloaded.png"})
    assert Outcome.from_json(outcome.to_json()) == outcome


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write pictures to .*file/here"):
        Gallery.at(tmp_path / "file" / "here", beside=tmp_path)
