"""A results file that is kept for good: every line, compressed, without what is one machine's.

Left out are tracebacks, which name the folders of the machine; paths in messages become `<path>`,
as in signatures. Verdicts, findings, measures, times and causes stay as they were.
"""

import json
import lzma
from pathlib import Path
from typing import Any

from conformance.judging.signature import without_paths

SUFFIX = ".xz"


def text_of(path: Path) -> str:
    """Return the text of a results file, which is compressed when its name ends in `.xz`.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
    """
    if path.suffix != SUFFIX:
        return path.read_text(encoding="utf-8")
    try:
        return lzma.decompress(path.read_bytes()).decode("utf-8")
    except lzma.LZMAError as error:
        raise OSError(None, f"not compressed by xz: {error}") from None


def packed(text: str) -> bytes:
    """Return the lines of a results file as they are kept; the same lines give the same bytes.

    Raises:
        ValueError: a line is not JSON.
    """
    lines = [json.dumps(_kept(json.loads(line))) for line in text.splitlines()]
    return lzma.compress("".join(f"{line}\n" for line in lines).encode("ascii"), preset=9)


def _kept(line: dict[str, Any]) -> dict[str, Any]:
    if line.get("line") == "cell":
        cell: dict[str, Any] = _anonymous(_untraced(line))
        return cell
    if line.get("line") != "case":
        return line
    failure = line["outcome"]["failure"]
    shown = None if failure is None else {**failure, "traceback": ""}
    kept: dict[str, Any] = _anonymous({**line, "outcome": {**line["outcome"], "failure": shown}})
    return kept


def _untraced(value: Any) -> Any:
    """Return the value with no traceback in it."""
    if isinstance(value, dict):
        return {
            name: "" if name == "traceback" else _untraced(each) for name, each in value.items()
        }
    return [_untraced(each) for each in value] if isinstance(value, list) else value


def _anonymous(value: Any) -> Any:
    """Return the value with `<path>` for every absolute path in its texts."""
    if isinstance(value, str):
        return without_paths(value)
    if isinstance(value, dict):
        return {key: _anonymous(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_anonymous(each) for each in value]
    return value
