"""The verbs about who may call."""

import os
from pathlib import Path
from typing import Annotated

import typer

from commands.options import group, home

APP = group("Who may call the service.")


@APP.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="The TOML file; else the one that the service would use.")] = None,
) -> None:
    """Say how the settings are understood, and read every key that they name. Example: crs trust check"""
    from features.errors import UsageError
    from serving.trust import reading
    from serving.trust.told import told

    path = file or reading.named(home(writes=False), os.environ)
    lines, complete = told(reading.read(path))
    for line in lines:
        typer.echo(line)
    if not complete:
        raise UsageError(path.name if path else "trust.toml", "not every key could be read", "see docs/trust.md")
