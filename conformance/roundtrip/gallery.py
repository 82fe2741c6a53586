"""Pictures as files that a person can look at, named by the result of their case."""

import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.errors import UsageError
from conformance.roundtrip.outcome import Outcome

PICTURES = "pictures.npz"
"""What a reader leaves in the case's directory: arrays (frames, height, width, 3) of 8 bits."""
AMPLIFIED = 32
"""By how much a difference is multiplied, so that one step of a colour can be seen."""
MILLISECONDS = 125
"""How long a film shows a frame."""
ENLARGED = 8
"""By how much an MP4 is: a player shows a tiny pipeline's 48 x 32 pixels as they are, and the codec
halves the colours of both sides and takes no odd ones."""
PLAYED: Mapping[str, Any] = {"fps": 1000 / MILLISECONDS, "quality": 9, "macro_block_size": 1}


@dataclass(frozen=True)
class Gallery:
    """A folder with a folder of pictures for each case.

    `reference` is the unquantized pipeline's, `quantized` was drawn before saving, `reloaded`
    after, and `difference` is what lies between the reference and the last, amplified. A picture
    is a PNG; a film is a PNG a frame, a GIF, and an MP4 where imageio has its ffmpeg.
    """

    directory: Path
    beside: Path
    """The folder of the results file: the paths in it are relative to this one."""

    @classmethod
    def at(cls, directory: Path, beside: Path) -> "Gallery":
        """Make the folder.

        Raises:
            UsageError: it cannot be made or written to.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / ".writable").touch()
            (directory / ".writable").unlink()
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(
                f"cannot write pictures to {directory}: {reason}; give another"
            ) from None
        return cls(directory.absolute(), beside.absolute())

    def hang(self, outcome: Outcome, drawn: Path) -> Outcome:
        """Write what a case has drawn, if anything, and name the files in its outcome."""
        if not (drawn / PICTURES).exists():
            return outcome
        place = self.directory / outcome.case
        place.mkdir(exist_ok=True)
        files = {name: place / name for name in written(place, pictures(drawn))}
        near = {name: Path(os.path.relpath(path, self.beside)) for name, path in files.items()}
        return replace(outcome, pictures={name: path.as_posix() for name, path in near.items()})


def pictures(drawn: Path) -> dict[str, Any]:
    """Read the arrays of a case, and add the difference where it can be made."""
    import numpy as np

    with np.load(drawn / PICTURES) as kept:
        arrays = {name: kept[name] for name in kept.files}
    if {"reference", "reloaded"} <= arrays.keys():
        apart = arrays["reference"].astype(int) - arrays["reloaded"].astype(int)
        arrays["difference"] = np.clip(AMPLIFIED * np.abs(apart), 0, 255).astype(np.uint8)
    return arrays


def written(place: Path, arrays: Mapping[str, Any]) -> Iterator[str]:
    """Write pictures and films, and yield the name of each file."""
    import imageio.v3 as imageio

    for name, frames in arrays.items():
        if len(frames) == 1:
            imageio.imwrite(place / f"{name}.png", frames[0])
            yield f"{name}.png"
            continue
        imageio.imwrite(place / f"{name}.gif", frames, duration=MILLISECONDS, loop=0)
        yield f"{name}.gif"
        if importlib.util.find_spec("imageio_ffmpeg"):
            imageio.imwrite(place / f"{name}.mp4", enlarged(frames), plugin="FFMPEG", **PLAYED)
            yield f"{name}.mp4"
        for number, frame in enumerate(frames):
            imageio.imwrite(place / f"{name}-{number}.png", frame)
            yield f"{name}-{number}.png"


def enlarged(frames: Any) -> Any:
    """Return frames whose every pixel is a square of pixels."""
    return frames.repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2)
