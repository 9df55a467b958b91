"""The verbs of the auditor: check the ledger, read it, replay an answer, prove a record, take the ledger away."""

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.options import check_out, group, home, tracking_uri

APP = group("The ledger: what was answered, by which model, on whose approval; see docs/audit.md.")

Id = Annotated[str, typer.Argument(metavar="ID", help="A prediction_id, or a record's sequence.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]


@APP.command()
def verify(
    key: Annotated[str, typer.Option(help="The key that you kept; the home's own by default.")] = "",
    as_json: Json = False,
) -> None:
    """Check every record, the chain, the signatures and the copies outside. Example: crs audit verify

    Exit codes: 0 the ledger is whole; 7 it is not, or it cannot be read; the first bad record is named.
    """
    from audit import verbs

    verbs.verify(home(writes=False), key, as_json)


@APP.command()
def show(name: Id, as_json: Json = False) -> None:
    """Show a record, and what came of an answer. Example: crs audit show 17"""
    from audit import verbs

    verbs.show(home(), name, as_json)


@APP.command("which-model")
def which_model(
    at: Annotated[str, typer.Option(help="A time with its offset, such as 2026-01-31T08:00:00Z.")],
    as_json: Json = False,
) -> None:
    """Say which version was live at a moment. Example: crs audit which-model --at 2026-01-31T08:00:00Z"""
    from audit import verbs

    verbs.which_model(home(), at, as_json)


@APP.command()
def versions(as_json: Json = False) -> None:
    """List the versions: who, when, on what evidence, live from when to when. Example: crs audit versions"""
    from audit import verbs

    verbs.versions(home(), as_json)


@APP.command()
def replay(
    name: Annotated[str, typer.Argument(metavar="ID", help="A prediction_id, a record's sequence, or all.")],
    as_json: Json = False,
) -> None:
    """Compute an answer again and compare it bit for bit. Example: crs audit replay all

    Exit codes: 0 the same bits; 4 the bundle is gone or altered; 7 a bit differs.
    """
    from audit import verbs

    verbs.replay(home(), name, as_json)


@APP.command()
def prove(name: Id, out: Annotated[Path | None, typer.Option(help="Write the proof there.")] = None) -> None:
    """Make a file that proves a record to anybody. Example: crs audit prove 17 --out proof.json"""
    from audit import verbs

    check_out(out)
    verbs.prove(home(), name, out)


@APP.command()
def export(
    out: Annotated[Path, typer.Option(help="Where the records go.")],
    form: Annotated[
        str, typer.Option("--format", help="ndjson, as they are stored; parquet; or fhir: AuditEvent and Provenance.")
    ] = "ndjson",
) -> None:
    """Write the whole ledger. Example: crs audit export --out ledger.ndjson"""
    from audit import verbs

    check_out(out)
    verbs.export(home(), out, form)


@APP.command()
def bom(
    version: Annotated[str, typer.Option(help="A version number, or an alias.")],
    out: Annotated[Path | None, typer.Option(help="Write it there.")] = None,
) -> None:
    """Write a version's bill of materials, CycloneDX 1.6. Example: crs audit bom --version 2 --out bom.json

    Exit codes: 0 it is written; 2 there is no such version; 4 its files are not those of its signed manifest.
    """
    from audit import model_verbs

    check_out(out)
    found = home()
    model_verbs.bom(found, version, out, _fetch(found))


@APP.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="V1", help="A version number, or an alias.")],
    second: Annotated[str, typer.Argument(metavar="V2", help="The other one.")],
    as_json: Json = False,
) -> None:
    """Compare two versions: data, columns, settings, figures, bands, answers. Example: crs audit diff 1 2

    Exit codes: 0 they are compared; 2 there is no such version; 4 a file of one is not that of its signed manifest.
    """
    from audit import model_verbs

    found = home()
    model_verbs.diff(found, first, second, as_json, _fetch(found))


def _fetch(found: Any) -> Any:
    """Takes a version out of MLflow, which is imported only where the model store does not have the version."""

    def fetch(which: str, folder: Path) -> Any:
        from audit.manifest import Model
        from training import tracking

        registered = tracking.fetch(found, which, folder, tracking_uri())
        return Model(registered.version, registered.digest)

    return fetch


@APP.command()
def key(rotate: Annotated[bool, typer.Option("--rotate", help="Sign with a new key from now on.")] = False) -> None:
    """Print the public key that checks the signatures. Example: crs audit key"""
    from audit import verbs

    verbs.key(home(), rotate)
