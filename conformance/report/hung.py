"""What pipelines drew, for the drawers of a report: small files go inside it, others are links.

Reads picture files that a results file names, and nothing that is no picture.
"""

import base64
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from conformance.judging.results import Results
from conformance.report.html.view import Picture
from conformance.roundtrip.gallery import AMPLIFIED

TITLES = {
    "reference": "unquantized",
    "quantized": "quantized, before saving",
    "reloaded": "quantized, reloaded",
    "difference": f"reloaded against unquantized, {AMPLIFIED} times the difference",
}
"""The pictures that are shown, in this order, by the names that `Gallery` gives them."""
KINDS = {".gif": (b"GIF8", "image/gif"), ".png": (b"\x89PNG\r\n\x1a\n", "image/png")}
"""How files of a suffix begin, and what they are; a film is shown before its frames."""
EMBEDDED = 2_000_000
"""Characters that all embedded pictures may take: a report should stay under 5 MB."""


class Frames:
    """Sources of pictures for one report: equal pictures are embedded once."""

    def __init__(self, beside: Path, report: Path, limit: int = EMBEDDED) -> None:
        self._beside, self._report, self._left = beside, report, limit
        self._known: set[str] = set()

    def source(self, path: str) -> str:
        """Return a data URI, or a link where there is no room left or nothing to embed."""
        file = self._beside / path
        embedded = _data(file)
        if embedded not in self._known:
            if not embedded or len(embedded) > self._left:
                return self.link(path)
            self._left -= len(embedded)
            self._known.add(embedded)
        return embedded

    def link(self, path: str) -> str:
        """Return where a file of the results lies, seen from the report."""
        return quote(Path(os.path.relpath(self._beside / path, self._report)).as_posix())


def _data(file: Path) -> str:
    """Return a picture as a data URI; nothing for what is no picture, too large or not there."""
    begins, kind = KINDS[file.suffix]
    try:
        if file.stat().st_size > EMBEDDED:
            return ""
        content = file.read_bytes()
    except OSError:
        return ""
    return (
        f"data:{kind};base64,{base64.b64encode(content).decode()}"
        if content.startswith(begins)
        else ""
    )


def hung(
    results: Results, beside: Path, report: Path, limit: int = EMBEDDED
) -> dict[str, tuple[Picture, ...]]:
    """Return the pictures of every case that drew any.

    Args:
        results: the results.
        beside: the folder of the results file.
        report: the folder of the report, for links.
        limit: characters that all embedded pictures may take.
    """
    frames = Frames(beside.absolute(), report.absolute(), limit)
    drawn = {case: each.outcome.pictures for case, each in results.cases.items()}
    return {case: tuple(_shown(each, frames)) for case, each in drawn.items() if each}


def _shown(files: Mapping[str, str], frames: Frames) -> Iterator[Picture]:
    for name, title in TITLES.items():
        path = next((files[name + kind] for kind in KINDS if name + kind in files), "")
        if Path(path).suffix in KINDS:
            yield Picture(title, frames.source(path), tuple(_more(name, files, frames)))


def _more(name: str, files: Mapping[str, str], frames: Frames) -> Iterator[tuple[str, str]]:
    """Yield what else there is of a film: the MP4 that can be stopped, and its frames."""
    if Path(film := files.get(f"{name}.mp4", "")).suffix == ".mp4":
        yield "mp4", frames.link(film)
    for number in itertools.count():
        if Path(path := files.get(f"{name}-{number}.png", "")).suffix != ".png":
            return
        yield f"frame {number}", frames.link(path)
