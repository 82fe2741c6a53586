"""What a worker has imported beside `preload` before it is forked, where pipelines are run.

A reader of a pipeline imports its other parts before it looks at the quantized one.
"""

from contextlib import suppress
from tempfile import TemporaryDirectory

from conformance.axes import models, pipelines, registry
from conformance.axes.base import Device
from conformance.errors import UnavailableError
from conformance.roundtrip import preload
from conformance.roundtrip.quiet import quietly


def draw_plainly() -> None:
    """Hand an unquantized model to each pipeline, draw with it, and compare two pictures."""
    from conformance.roundtrip.pictures import likeness

    for subject in registry.subjects().values():
        if subject.pipeline is None:
            continue
        with suppress(UnavailableError), TemporaryDirectory() as directory:
            model = models.build(subject)
            pipelines.assemble(subject.pipeline, model, 0).save_pretrained(directory)
            whole = pipelines.hand(subject.pipeline, directory, model, Device.CPU)
            picture = pipelines.draw(subject.pipeline, whole, 0)
            likeness(picture, picture / 2)


if preload.error is None:
    with quietly():
        try:
            draw_plainly()
        except BaseException as raised:  # noqa: BLE001 - told by the workers, as other imports are
            preload.error = raised
