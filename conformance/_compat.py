"""The two names that Python 3.10 lacks; everything else imports them from here."""

import sys

if sys.version_info >= (3, 11):
    from enum import StrEnum

    import tomllib
else:
    from enum import Enum

    import tomli as tomllib

    class StrEnum(str, Enum):
        """`enum.StrEnum` of Python 3.11."""

        __str__ = str.__str__


__all__ = ["StrEnum", "tomllib"]
