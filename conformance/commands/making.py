"""Environments made ready before a command runs something in them."""

from collections.abc import Iterable

from conformance.report import text
from conformance.versions.environments import Environment
from conformance.versions.make import ready_all, tools
from conformance.versions.ready import NotReady, Ready

err = text.console(stderr=True)


def made_ready(environments: Iterable[Environment]) -> dict[Environment, Ready | NotReady]:
    """Make environments that are not in the cache, several at once, telling what begins.

    Raises:
        UsageError: uv is not installed.
    """
    wanted = list(dict.fromkeys(environments))
    answers: dict[Environment, Ready | NotReady] = {}
    with text.progress(err) as bar:
        tell = bar.console.print if err.is_terminal else err.print
        using = tools(lambda note: tell(note, highlight=False))
        task = bar.add_task("environments", total=len(wanted))
        for answer in ready_all(wanted, using):
            answers[answer.environment] = answer
            bar.advance(task)
    return answers
