"""The picture is like the unquantized pipeline's, and not equal to it.

Likeness is the peak signal to noise ratio in dB and the structural similarity, both of
scikit-image; of a video the worst frame counts. Each scheme has a floor for both, measured on the
tiny pipelines (`docs/pictures.md`). A picture that equals the unquantized one is a finding,
also where a scheme has no floor: then the pipeline did not use the quantized model.

What to do: if `picture` is silent, the pipeline was already far off when it was saved. If
`accuracy` is silent, too, look at what the pipeline does around the model.
"""

import math
from collections.abc import Iterator

from conformance.axes.base import Likeness
from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare both numbers with the scheme's floors."""
    measured, floor = evidence.likeness, evidence.case.scheme.likeness
    if measured is None:
        return
    if measured.psnr == math.inf:
        yield Difference("picture", "equals the unquantized picture", "a difference", "none")
    elif floor is not None:
        yield from _below(measured, floor)


def _below(measured: Likeness, floor: Likeness) -> Iterator[Difference]:
    # Not smaller, so that a picture that is not a number is below every floor.
    if not measured.psnr >= floor.psnr:
        got = f"{measured.psnr:.1f} dB"
        yield Difference("picture", "PSNR is below the floor", f"{floor.psnr} dB", got)
    if not measured.ssim >= floor.ssim:
        got = f"{measured.ssim:.3f}"
        yield Difference("picture", "SSIM is below the floor", f"{floor.ssim}", got)


CHECK = Check("likeness", Stage.OUTPUT, Side.READER, Harm.CORRUPT, run)
