"""The verbs of the auditor: check the ledger, read it, replay an answer, prove a record, take the ledger away."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.options import check_new_folder, check_out, group, home, tracking_uri

APP = group("The ledger: what was answered, by which model, on whose approval; see docs/audit.md.")

Id = Annotated[str, typer.Argument(metavar="ID", help="A prediction_id, or a record's sequence.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]


@APP.command()
def verify(
    key: Annotated[str, typer.Option(help="The key that you kept; the home's own by default.")] = "",
    as_json: Json = False,
) -> None:
    """Check every record, the chain, the signatures and the copies outside. Example: crs audit verify

    Exit codes: 0 the ledger is whole; 7 it is not, or it cannot be read, and the first bad record is named; or it is
    whole, and that it was verified cannot be recorded though it lies where files can be written.
    """
    from audit import verbs

    verbs.verify(home(writes=False), key, as_json)


@APP.command()
def show(
    name: Id,
    request: Annotated[bool, typer.Option("--request", help="The request, where the vault keeps it.")] = False,
    answer: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Compare it: the answer, or the batch, as it was received.")
    ] = None,
    sent: Annotated[Path | None, typer.Option(metavar="FILE", help="Compare it: the request's body as sent.")] = None,
    as_json: Json = False,
) -> None:
    """Show a record, and what came of an answer. Example: crs audit show 17 --answer answer.json

    Exit codes: 0 it is shown; 2 there is no such record, or it is of no answer; 7 a file that is compared, or with
    --request what is kept, is not what was recorded, or the tenant key is not there.
    """
    from audit import verbs
    from audit.handed import Handed
    from features.errors import UsageError

    if request and (answer or sent):
        raise UsageError("--request", "it shows what the vault keeps, and compares nothing", "leave it out")
    if request:
        verbs.show_request(home(), name)
    else:
        verbs.show(home(), name, as_json, Handed.from_files(answer, sent))


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
    codes: Annotated[
        list[Path] | None, typer.Option(help="A centre's own code file, now or then; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute an answer again and compare it bit for bit. Example: crs audit replay all

    Where the vault keeps the request it is read again first, by the codes of a file with the digest that the record
    names: one of --codes, or without it the one that trust.toml names. Exit codes: 0 the same bits; 3 a file is not a
    list of codes; 4 the bundle is gone or altered; 7 a bit differs, or a record is damaged.
    """
    from audit import verbs

    found = home()
    verbs.replay(found, name, as_json, lambda: _reader(found, codes or []))


def _reader(found: Any, codes: list[Path]) -> Any:
    """Reads kept requests again, as the service reads them; made only where there is one."""
    from audit.keys import tenant_key
    from serving.again import Again
    from serving.trust import reading

    set_now = "" if codes else reading.settled(os.environ).codes.file
    return Again(tenant_key(found), [Path(set_now)] if set_now else codes)


@APP.command()
def erase(
    file: Annotated[
        Path | None, typer.Option(help="A file with an identifier a line; standard input without it.")
    ] = None,
    prediction: Annotated[str, typer.Option(metavar="ID", help="Instead: the patient of that answer.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose identifiers they are, where callers state a tenant.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase for good what the vault keeps of a patient; the ledger stays whole. Example: crs audit erase --file ids.txt

    An identifier is what requests were sent with: a patient's, or a course's where no patient was named. It is read
    from a file, from standard input or from a prompt, never from the command line. Exit codes: 0 nothing of them is
    kept any more; 2 none was named; 7 it could not be finished: call it again.
    """
    from audit import vault_verbs

    found = home()
    named = [] if prediction else _identifiers(file)
    if sys.stdin.isatty() and not yes:
        typer.confirm("Erase their kept requests? This cannot be undone.", abort=True)
    if prediction:
        vault_verbs.erase_of(found, prediction, as_json)
    else:
        vault_verbs.erase_named(found, named, tenant, as_json)


def _identifiers(file: Path | None) -> list[str]:
    """One a line; UsageError where there is none."""
    from features.errors import UsageError

    if file is None and sys.stdin.isatty():
        text = str(typer.prompt("Identifier (not shown)", hide_input=True))
    else:
        try:
            text = sys.stdin.read() if file is None else file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError("--file", "it cannot be read as text", "name a file with one identifier a line") from error
    found = [line for line in text.splitlines() if line.strip()]
    if not found:
        raise UsageError("crs audit erase", "no identifier was given", "give one a line, or name an answer")
    return found


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
def manifest(
    version: Annotated[str, typer.Option(help="A version number, or an alias.")],
    out: Annotated[Path, typer.Option(help="A folder that does not exist yet.")],
) -> None:
    """Write a version's signatures for an auditor. Example: crs audit manifest --version 2 --out signed

    Prints how OpenSSF's model-signing checks them. Exit codes: 0 they are written; 2 there is no such version, or the
    folder exists; 4 a file of it is not that of its signed manifest.
    """
    from audit import model_verbs

    check_new_folder(out)
    found = home()
    model_verbs.manifest(found, version, out, _fetch(found))


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
def key(
    rotate: Annotated[bool, typer.Option("--rotate", help="Sign with a new key from now on.")] = False,
    rotate_vault: Annotated[
        bool, typer.Option("--rotate-vault", help="Lock the vault with a new key instead.")
    ] = False,
) -> None:
    """Print the public key that checks the signatures. Example: crs audit key"""
    from audit import vault_verbs, verbs

    if rotate_vault:
        vault_verbs.rotate(home())
    else:
        verbs.key(home(), rotate)
