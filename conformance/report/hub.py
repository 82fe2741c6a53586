"""What came back from a Hub, for a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType

from conformance.hub.known import as_known, good, known
from conformance.hub.result import Back, Failed, Result
from conformance.hub.scenes import Read
from conformance.report.text import folding_table, line, printable


def headline(results: Sequence[Result], where: str) -> str:
    """Return the one sentence that counts."""
    backs = [each for each in results if isinstance(each, Back)]
    fails = [each for each in results if isinstance(each, Failed)]
    return (
        f"{sum(map(good, backs))} of {len(backs)} readings from {where} are as those from a"
        f" directory; {sum(map(good, fails))} of {len(fails)} failed pushes left nothing"
    )


def shown(results: Sequence[Result], where: str) -> RenderableType:
    """Return the tables of ways up and back, and of failed pushes."""
    parts: list[RenderableType] = [line(headline(results, where), "bold")]
    backs = [each for each in results if isinstance(each, Back)]
    if backs:
        table = folding_table("up", *map(str, Read))
        for scene in dict.fromkeys(each.scene for each in backs):
            table.add_row(scene, *(_cell(each) for each in backs if each.scene == scene))
        parts += [line(""), table]
    fails = [each for each in results if isinstance(each, Failed)]
    if fails:
        table = folding_table("failed push", "raised", "left behind")
        for failed in fails:
            raised = printable(failed.raised.partition("\n")[0]) or "nothing"
            table.add_row(failed.trouble, raised, failed.left)
        parts += [line(""), table]
    defects = filter(None, map(known, results))
    parts += [line(f"known: {name}") for name in dict.fromkeys(each.name for each in defects)]
    parts += [line(_wrong(each), "red") for each in results if not as_known(each)]
    return Group(*parts)


def _cell(each: Back) -> str:
    return each.verdict if each.as_expected else f"{each.verdict} (!)"


def _wrong(each: Result) -> str:
    if isinstance(each, Failed):
        return f"not as expected: {each.trouble} left {each.left}"
    return printable(f"not as expected: {each.scene}, {each.read}: {'; '.join(each.why)}")
