"""Commands that are imported when they are called: help and completion stay quick."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

Command: Any = TyperCommand.__bases__[0]
"""A command of click, which newer releases of typer bring along."""


@dataclass(frozen=True)
class Lazy:
    """A command that is not imported yet."""

    name: str
    module: str
    """In `conformance.commands`."""
    help: str
    """What the list of commands says of it; its own help says more."""


@cache
def loaded(lazy: Lazy) -> Command:
    """Import the module of a command, and return the command."""
    module = import_module(f"conformance.commands.{lazy.module}")
    parent = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)
    parent.callback()(lambda: None)
    if hasattr(module, "register"):
        module.register(parent)
    elif hasattr(module, "app"):
        parent.add_typer(module.app, name=lazy.name)
    else:
        parent.command(name=lazy.name, epilog=module.EPILOG)(module.command)
    return typer.main.get_group(parent).commands[lazy.name]


def group_of(commands: Iterable[Lazy]) -> type[TyperGroup]:
    """Return a group that has these commands beside those that are registered with it."""
    known = {each.name: each for each in commands}

    class LazyGroup(TyperGroup):
        """Knows names and help of its commands, and imports the one that is called."""

        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            stubs = {each.name: TyperCommand(each.name, help=each.help) for each in known.values()}
            self.commands = {**stubs, **self.commands}

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            """Find the command that is called, and load it."""
            name, command, rest = super().resolve_command(ctx, args)
            if command is not None and isinstance(command, TyperCommand) and name in known:
                command = loaded(known[name])
            return name, command, rest

    return LazyGroup
