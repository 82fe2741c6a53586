"""How a checkpoint goes up to a Hub, and comes back: plain values."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from conformance._compat import StrEnum

CASE = "flux-tiny.int8wo.torchao-config.{form}.cpu"
RAW = "flux-tiny.int8wo.quantize_.safetensors.cpu"
"""The one whose save fails."""
SUBFOLDER = "transformer"
REVISION = "measured"
WHOLE = ("safetensors", "pickle")
"""What `push_to_hub` writes: it takes no shard limit."""
FORMS = ("safetensors", "safetensors-sharded", "pickle", "pickle-sharded")


class Push(StrEnum):
    """How it goes up."""

    PUSH_TO_HUB = "push_to_hub"
    """`model.push_to_hub`, which makes the repository, saves and uploads."""
    UPLOAD_FOLDER = "upload_folder"
    """`create_repo` and `upload_folder` of what was saved."""


class Where(StrEnum):
    """Where in the repository it lies."""

    ROOT = "root"
    SUBFOLDER = "subfolder"
    REVISION = "revision"
    """On a branch of its own, beside another checkpoint on the main one."""


class Read(StrEnum):
    """How it comes back, each time in a fresh process."""

    FROM_PRETRAINED = "from_pretrained"
    """By the id of the repository, into an empty cache."""
    OFFLINE = "offline"
    """The same again from the cache, with the network forbidden."""
    SNAPSHOT = "snapshot_download"
    """Downloaded as a whole into an empty cache, and read from there."""


@dataclass(frozen=True)
class Scene:
    """One way up; every way back is tried on it."""

    push: Push
    form: str
    where: Where

    @property
    def id(self) -> str:
        """Readable, a glob matches it: `push_to_hub.safetensors.root`."""
        return f"{self.push}.{self.form}.{self.where}"

    @property
    def case(self) -> str:
        """The case whose checkpoint it is."""
        return CASE.format(form=self.form)

    @property
    def subfolder(self) -> str | None:
        """The folder in the repository."""
        return SUBFOLDER if self.where is Where.SUBFOLDER else None

    @property
    def revision(self) -> str | None:
        """The branch."""
        return REVISION if self.where is Where.REVISION else None


class Trouble(StrEnum):
    """A push that must fail."""

    CANNOT_BE_SAVED = "cannot-be-saved"
    """`push_to_hub` of a model whose `save_pretrained` raises."""
    FULL_DISK = "full-disk"
    """`push_to_hub` where the files cannot be written: nothing takes more than a few bytes."""
    WRONG_TOKEN = "wrong-token"
    """`push_to_hub` with a token that the Hub does not know."""


def scenes() -> Iterator[Scene]:
    """Yield every scene."""
    for form, where in product(WHOLE, (Where.ROOT, Where.SUBFOLDER)):
        yield Scene(Push.PUSH_TO_HUB, form, where)
    for form, where in product(FORMS, Where):
        yield Scene(Push.UPLOAD_FOLDER, form, where)
