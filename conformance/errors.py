"""Errors that people cause and can mend: each is one clear line."""


class UsageError(Exception):
    """A bad input. The message says what is wrong and how to mend it."""


class UnavailableError(Exception):
    """This machine or these versions cannot do it. The message is the reason of a `no result`."""
