"""What a stage of a large case took, by what it would take at this machine's own speed."""

from collections.abc import Mapping


def writing_ratios(measured: Mapping[str, float], rate: float) -> dict[str, float]:
    """Return `quantize.ratio`, `digest.ratio`, `save.ratio` and `inspect.ratio`.

    `quantize_` passes once over every weight that it is given, and every weight is drawn in memory;
    a digest reads the payload once; a save writes the files once and inspecting reads them once.

    Args:
        measured: the parts of the writer, sizes and floors.
        rate: bytes a second that the writer reads again from the files that it inspected.
    """
    floors = {
        "digest": measured["payload_bytes"] / measured["floor.copy"],
        "save": measured["file_bytes"] / measured["floor.write"],
        "inspect": measured["file_bytes"] / rate,
    }
    if "floor.quantize" in measured:
        drawn = measured["bf16_bytes"] / measured["floor.copy"]
        floors["quantize"] = measured["quantize.weights"] / measured["floor.quantize"] + drawn
    ratios = {f"{part}.ratio": measured[f"{part}.seconds"] / floors[part] for part in floors}
    return {"floor.inspect": rate, **ratios}


def reading_ratios(measured: Mapping[str, float], rate: float, payload: int) -> dict[str, float]:
    """Return `load.ratio`: loading and digesting together, by reading the payload once.

    Args:
        measured: the parts `load` and `bits`.
        rate: bytes a second that the reader reads from these very files.
        payload: bytes.
    """
    took = measured["load.seconds"] + measured["bits.seconds"]
    return {"floor.reread": rate, "load.ratio": took * rate / payload}
