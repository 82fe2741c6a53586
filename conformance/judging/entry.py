"""Reading the tables of a TOML file that people write, key by key, strictly."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from fnmatch import translate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from conformance._compat import StrEnum, tomllib
from conformance.errors import UsageError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Member = TypeVar("Member", bound=StrEnum)


def read_entries(path: Path | Traversable, word: str) -> Iterator[Entry]:
    """Yield the tables of a file that holds `[[word]]` tables and nothing else.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"{path}: cannot read the {word}s: {reason}; name a TOML file that you may read"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}; mend it there") from None
    tables = document.pop(word, [])
    if document or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise UsageError(f"{path}: an {word}s file holds `[[{word}]]` tables and nothing else")
    for number, table in enumerate(tables, 1):
        yield Entry(path.name, number, table, word)


class Entry:
    """One table. Every key that is asked for is known; `close` rejects the others.

    All methods raise `UsageError` with one line that names the file, the entry and the mend.
    """

    def __init__(
        self, file: str, number: int, table: Mapping[str, Any], word: str = "expectation"
    ) -> None:
        self.file = file
        self._word = word
        self._table = table
        self._asked: set[str] = set()
        name = table.get("name")
        self._label = repr(name) if name and isinstance(name, str) else f"number {number}"

    def wrong(self, what: str) -> UsageError:
        """Return the error that says what is wrong here; for the caller to raise."""
        return UsageError(f"{self.file}: {self._word} {self._label}: {what}")

    def has(self, key: str) -> bool:
        """Is the key given?"""
        self._asked.add(key)
        return key in self._table

    def text(self, key: str) -> str:
        """Return a text that may be left out; then it is empty."""
        if not self.has(key):
            return ""
        value = self._table[key]
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(f'"{key}" must be a text that is not empty, and is {value!r}')
        return value

    def required(self, key: str) -> str:
        """Return a text that must be there."""
        if not self.has(key):
            raise self.wrong(f'the key "{key}" is missing; add it')
        return self.text(key)

    def name(self) -> str:
        """Return the name, which stands in reports, in file names and on command lines."""
        name = self.required("name")
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
            raise self.wrong('"name" may hold letters, digits, "-", "_" and "." only')
        return name

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Return a list of texts, or None when the key is left out."""
        if not self.has(key):
            return None
        value = self._table[key]
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            raise self.wrong(f'"{key}" must be a list of texts, and is {value!r}')
        return tuple(value)

    def globs(self, key: str, case_ids: Collection[str] | None) -> tuple[str, ...]:
        """Return a list of globs, each of which must match a case if they are known."""
        globs = self.texts(key)
        if not globs:
            raise self.wrong(f'the key "{key}" is missing; give a list of globs on case ids')
        for glob in globs:
            # Tens of thousands of ids times hundreds of globs: no call of Python's for each.
            matches = re.compile(translate(glob)).match
            if case_ids is not None and not any(map(matches, case_ids)):
                raise self.wrong(
                    f"{glob!r} matches no case; `conformance list` prints the ids it must match"
                )
        return globs

    def day(self, key: str) -> date | None:
        """Return a date, or None when the key is left out."""
        if not self.has(key):
            return None
        value = self._table[key]
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self.wrong(f'"{key}" must be a date like 2026-01-31, without quotes')
        return value

    def flag(self, key: str) -> bool:
        """Return a yes or no that may be left out; then it is no."""
        value = self._table[key] if self.has(key) else False
        if not isinstance(value, bool):
            raise self.wrong(f'"{key}" must be true or false, and is {value!r}')
        return value

    def known(self, word: str, vocabulary: Collection[str], meaning: str) -> str:
        """Return the word when it is in the vocabulary."""
        if word in vocabulary:
            return word
        near = get_close_matches(word, vocabulary, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(vocabulary))}"
        raise self.wrong(f"unknown {meaning} {word!r}; {mend}")

    def member(self, key: str, vocabulary: type[Member]) -> Member:
        """Return the member of a closed vocabulary that the key must name."""
        names = [str(member) for member in vocabulary]
        return vocabulary(self.known(self.required(key), names, key))

    def optional_member(self, key: str, vocabulary: type[Member]) -> Member | None:
        """Return the member that the key names, or None when it is left out."""
        return self.member(key, vocabulary) if self.has(key) else None

    def members(self, key: str, vocabulary: Collection[Member], meaning: str) -> tuple[Member, ...]:
        """Return the members that the key must list, at least one, out of the vocabulary."""
        words = self.texts(key)
        named = {str(member): member for member in vocabulary}
        if not words:
            raise self.wrong(f'"{key}" is missing or empty; list one of {", ".join(named)}')
        return tuple(named[self.known(word, named, meaning)] for word in words)

    def pattern(self, key: str) -> re.Pattern[str]:
        """Return a regular expression that must be there and must not match an empty text."""
        text = self.required(key)
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise self.wrong(
                f'"{key}" is no regular expression: {error}: {text!r}; mend it'
            ) from None
        if pattern.fullmatch(""):
            raise self.wrong(f'"{key}" is {text!r}, which also matches nothing; say what must come')
        return pattern

    def specifiers(self, key: str) -> dict[str, SpecifierSet]:
        """Return a table of PEP 440 version sets; empty when it is left out."""
        table = self._table[key] if self.has(key) else {}
        if not isinstance(table, dict):
            raise self.wrong(f'"{key}" must be a table like {{ torchao = ">=0.15,<0.19" }}')
        return {name: self._specifier(name, value) for name, value in table.items()}

    def _specifier(self, name: str, value: object) -> SpecifierSet:
        try:
            if not isinstance(value, str) or not value.strip():
                raise InvalidSpecifier
            return SpecifierSet(value)
        except InvalidSpecifier:
            raise self.wrong(
                f'versions of {name}: {value!r} is no version set; write one like ">=0.15,<0.19"'
            ) from None

    def close(self) -> None:
        """Reject the keys that nobody asked for."""
        for key in self._table:
            self.known(key, sorted(self._asked), "key")
