"""What verbs share: types of arguments, where state lies, and checks made before any work."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

Folder = Annotated[Path, typer.Argument(help="A cohort: a folder with courses, observations and events.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)]
Settings = Annotated[Path | None, typer.Option(help="TOML file with training settings, see docs/training.md.")]
Format = Annotated[str, typer.Option(help="parquet or csv.")]
Derive = Annotated[
    bool, typer.Option("--derive-grades", help="Grade CRS from vitals and treatments if no grade was charted.")
]
Overrides = Annotated[list[str] | None, typer.Option("--override", help="Go on although this data check refuses.")]
Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Why; one per --override. It is recorded.")]
Cluster = Annotated[
    str, typer.Option("--cluster", help="A Dask cluster to work on, such as tcp://host:8786, see docs/scaling.md.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0)]


def group(help: str | None = None) -> typer.Typer:
    """A command made of verbs; a call without one shows the help."""
    return typer.Typer(
        no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=help
    )


def home(writes: bool = True) -> Any:
    """The deployment's state; StoreError before any work where a verb that writes to it could not."""
    from features.home import Home, check_writable

    found = Home.from_environment(os.environ)
    if writes:
        check_writable(found)
    return found


def check_out(out: Path | None, option: str = "--out") -> None:
    """UsageError before any work where the results could not be written in the end."""
    from features.errors import UsageError

    if out is None:
        return
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK | os.X_OK):
        raise UsageError(option, "its folder does not exist or cannot be written", "make the folder first")
    if out.is_dir():
        raise UsageError(option, "it is a folder", "name a file")


def check_new_folder(out: Path, option: str = "--out") -> None:
    """UsageError before any work where a folder cannot be made, or is there and not empty."""
    from features.errors import UsageError

    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK | os.X_OK):
        raise UsageError(option, "its folder does not exist or cannot be written", "make the folder first")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(option, "it exists already", "name a new folder")


def tracking_uri() -> str | None:
    return os.environ.get("CRS_RISK_MLFLOW_URI") or None
