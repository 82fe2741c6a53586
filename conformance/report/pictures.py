"""The measured table of pictures: how much a quantized pipeline's is like the unquantized one's.

python -m conformance.report.pictures            # write docs/pictures.md anew
python -m conformance.report.pictures RESULTS    # keep the results of a run, then the page
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from conformance.axes import registry
from conformance.axes.base import Likeness, Scheme
from conformance.case import find
from conformance.errors import UsageError
from conformance.judging.results import Results, read_results
from conformance.report.tables import ROOT, keep

KEPT = Path("docs/results/pictures.jsonl.xz")
PAGE = Path("docs/pictures.md")

Measured = Mapping[tuple[str, str], Likeness]
"""By scheme and subject."""

TEXT = """# Pictures

What a tiny pipeline draws with a quantized transformer, beside what it draws with the unquantized
one: the peak signal to noise ratio in dB and the structural similarity (scikit-image), of a video
the worst frame's, of several cases the worst. The transformers are those of `flux-tiny` and
`cogvideox-tiny`; VAE, text encoders and tokenizers are built from `fixtures/pipelines/` and a seed,
and nothing was trained, so a number says how far two pictures are apart and nothing about beauty.
Before and after saving, the pictures are equal bit for bit, or the case is `corrupt`.

The floors stand in `conformance/axes/schemes/`. A quantized model whose scales are halved, and one
that a pipeline does not use, fail them (`fixtures/saboteurs/pipeline.py`).
"""


def worst(results: Results) -> dict[tuple[str, str], Likeness]:
    """Return the lowest numbers of every scheme and subject."""
    found: dict[tuple[str, str], Likeness] = {}
    for case_id, result in results.cases.items():
        numbers = result.outcome.measures
        if "psnr_db" not in numbers:
            continue
        case = find(case_id)
        key = case.scheme.name, case.subject.name
        seen = found.get(key, Likeness(numbers["psnr_db"], numbers["ssim"]))
        found[key] = Likeness(min(seen.psnr, numbers["psnr_db"]), min(seen.ssim, numbers["ssim"]))
    return found


def table(measured: Measured, schemes: Iterable[Scheme]) -> list[str]:
    """Return the lines of the table, a row a scheme that was measured."""
    subjects = sorted({subject for _, subject in measured})
    names = [f"{subject} {what}" for subject in subjects for what in ("PSNR", "SSIM")]
    head = ["scheme", *names, "floor PSNR", "floor SSIM"]
    rows = [_row(each, subjects, measured) for each in schemes]
    rule = ["---", *(["---:"] * (len(head) - 1))]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *filter(None, rows))]


def _row(scheme: Scheme, subjects: Iterable[str], measured: Measured) -> list[str]:
    alike = [measured.get((scheme.name, subject)) for subject in subjects]
    if not any(alike):
        return []
    cells = [cell for each in (*alike, scheme.likeness) for cell in _cells(each)]
    return [f"`{scheme.name}`", *cells]


def _cells(alike: Likeness | None) -> tuple[str, str]:
    return ("", "") if alike is None else (f"{alike.psnr:.1f}", f"{alike.ssim:.3f}")


def page(results: Results, schemes: Iterable[Scheme]) -> str:
    """Return the whole document."""
    versions = results.header.versions
    on = ", ".join(f"{name} {versions[name]}" for name in ("torch", "torchao", "diffusers"))
    asked = results.header.selection
    options = [f"--select '{each}'" for each in asked.globs]
    chosen = " ".join([*options, *(f"--marker {each}" for each in asked.markers)])
    command = f"    conformance run {chosen} --results pictures.jsonl"
    again = "    python -m conformance.report.pictures pictures.jsonl"
    measured = (
        f"Measured with {on} on CPU, {len(results.cases)} cases, kept in `{KEPT}`. CUDA: not run."
    )
    lines = table(worst(results), schemes)
    return "\n".join([TEXT, measured, "", command, again, "", *lines]) + "\n"


def main(arguments: Iterable[str], root: Path = ROOT) -> None:
    """Keep the results that are named, if any, and write the page.

    Raises:
        UsageError: they are partial, or some case is not as expected.
    """
    for each in arguments:
        keep(Path(each), root, KEPT)
    kept = read_results(root / KEPT)
    (root / PAGE).write_text(page(kept, registry.schemes().values()), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(sys.argv[1:2])
    except UsageError as error:
        sys.exit(f"{error}")
