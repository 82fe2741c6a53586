"""The expectations hold under every release that was measured: judged anew, from what it gave."""

from functools import cache

import pytest
from releases import Release, releases

from conformance.case import all_ids
from conformance.judging.expectations import active, load_expectations, packaged
from conformance.judging.judge import Judgement, judge, unused
from conformance.roundtrip.checks import check_names

pytestmark = pytest.mark.thorough

RELEASES = tuple(releases())
DECLARED = load_expectations(packaged(), check_names(), all_ids())
OLDEST = ["0.18.0", "0.17.0", "0.16.0"]


@cache
def judged(release: Release, by: Release) -> tuple[Judgement, ...]:
    """Judge what a release gave by what is declared for one."""
    declared = active(DECLARED, by.versions)
    return tuple(judge(each, declared) for each in release.outcomes)


def named(release: Release) -> str:
    return release.label


def test_these_releases_are_held() -> None:
    assert [each.versions["torchao"] for each in RELEASES] == OLDEST


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_a_release_gives_what_is_declared_for_it(release: Release) -> None:
    wrong = {each.case: each.reasons for each in judged(release, release) if each.reasons}
    assert wrong == {}


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_what_is_declared_for_a_release_was_seen_there(release: Release) -> None:
    """So that no bound says more than was measured."""
    found = judged(release, release)
    covering = {name for each in found for name in each.covered_by}
    cases = [each.case for each in release.outcomes]
    about = {e.name for e in active(DECLARED, release.versions) if any(map(e.about, cases))}
    assert about - covering == set()
    usual = [each for each in active(DECLARED, release.versions) if each.name in about]
    assert unused(usual, found) == ()


@pytest.mark.parametrize(("older", "newer"), list(zip(RELEASES[1:], RELEASES, strict=False)))
def test_the_bounds_between_two_releases_matter(older: Release, newer: Release) -> None:
    assert [each for each in judged(older, newer) if each.reasons]
