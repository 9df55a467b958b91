"""What `crs audit bom`, `manifest` and `diff` give: a version's bill of materials, its signatures, and two versions."""

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from audit import history, table
from audit import manifest as signed
from audit.access import accessed
from audit.bom import bom as made
from audit.diff import diff as compared
from audit.ledger import open_ledger
from audit.model_signature import ModelKey
from audit.replay import stored_bundles
from audit.versions import Fetch, opened
from features import bundle
from features.errors import UsageError
from features.home import BUNDLE_FOLDER, Home

#: The figures that the terminal shows; --json has all of them.
_SHOWN = ("auroc", "log_loss", "calibration_slope", "ici")
_TIMES = ("0h", "all")


def bom(home: Home, which: str, out: Path | None, fetch: Fetch) -> None:
    """A version's ML-BOM."""
    with open_ledger(home) as ledger:
        accessed(ledger, "bom")
        history.check_registrations(ledger)
        text = json.dumps(made(opened(ledger, which, fetch)), indent=1) + "\n"
    if out is None:
        print(text, end="")
        return
    out.write_text(text, encoding="utf-8")
    print(f"{out}: CycloneDX 1.6")


def manifest(home: Home, which: str, out: Path, fetch: Fetch) -> None:
    """A version's signatures in a new folder, and the command that checks one of them without this product.

    The files that it checks are those of the model store; of a version that is not there they are written, too.
    """
    with open_ledger(home) as ledger:
        accessed(ledger, "manifest")
        history.check_registrations(ledger)
        found = opened(ledger, which, fetch)
        papers = signed.documents(ledger, found.model)
        record = signed.registered(ledger, found.model.version)
    assert record is not None  # the papers are out of it
    _write_all(out, papers)
    files = dict(stored_bundles(home)).get(found.model.digest) or out / BUNDLE_FOLDER
    if not files.exists():
        bundle.write(found.bundle, files)
    key = ModelKey(papers[signed.KEY_FILE]).hint
    told = {"version": found.model.version, "bundle": found.model.digest, "registered in record": record.sequence}
    table.print_pairs({**told, "SHA-256 of the key file": key})
    given = ("--signature", out / signed.SIGNATURE_FILE, "--public_key", out / signed.KEY_FILE)
    # Without the last word the tool passes over files such as .gitattributes, whatever the signature names.
    print(shlex.join(map(str, ("model_signing", "verify", "key", files, *given, "--no-ignore-git-paths"))))


def _write_all(folder: Path, papers: Mapping[str, str]) -> None:
    try:
        folder.mkdir(exist_ok=True)
        for name, text in papers.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError("--out", "the folder cannot be written", "name another one") from error


def diff(home: Home, first: str, second: str, as_json: bool, fetch: Fetch) -> None:
    """Two versions side by side."""
    with open_ledger(home) as ledger:
        accessed(ledger, "diff")
        history.check_registrations(ledger)
        found = compared(opened(ledger, first, fetch), opened(ledger, second, fetch))
    if as_json:
        table.print_json(found)
    else:
        _print(found)


def _print(found: Mapping[str, Any]) -> None:
    one, other = found["versions"]
    heads = (f"version {one['version']}", f"version {other['version']}")
    table.print_rows(("", *heads), [("bundle", one["digest"][:16], other["digest"][:16])])
    print("the same bundle" if found["same_bundle"] else found["descent"], end="\n\n")
    for name in ("lineage", "data", "parameters", "policy"):
        _print_pairs(name, heads, found[name])
    _print_columns(found["columns"])
    table.print_rows(("metric", "outcome", "at", *heads), list(_metric_rows(found["metrics"])))
    table.print_rows(("golden course", "at", "outcome", *heads, "band"), list(_answer_rows(found["answers"])))
    print(f"{found['answers_changed']} of {len(found['answers'])} golden courses are answered otherwise")


def _print_pairs(name: str, heads: tuple[str, str], pairs: Mapping[str, Any]) -> None:
    rows = [(key, *(_short(value) for value in pair)) for key, pair in pairs.items()]
    if rows:
        table.print_rows((name, *heads), rows)
    else:
        print(f"{name}: the same\n")


def _print_columns(columns: Mapping[str, Any]) -> None:
    counts = columns["counts"]
    print(f"columns: {counts[0]} and {counts[1]}; {len(columns['changed'])} of the same name are otherwise")
    for name in ("left", "new"):
        if columns[name]:
            print(f"  {name}: {', '.join(columns[name])}")
    print()


def _metric_rows(metrics: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    for one in metrics:
        if one["predictor"] == "model" and one["metric"] in _SHOWN and one["index_time"] in _TIMES:
            yield one["metric"], one["outcome"], one["index_time"], *map(_estimate, one["pair"])


def _estimate(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "none"
    low, high = ("?" if found[end] is None else f"{found[end]:.3f}" for end in ("low", "high"))
    return f"{found['value']:.3f} ({low} to {high})"


def _answer_rows(answers: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    """The outcomes whose answers changed."""
    for place, one in enumerate(answers):
        course = one["course"]
        hours = f"{(course['index_seconds']) / 3600:g} h"
        for outcome, held in one["outcomes"].items():
            if held["changed"]:
                name = f"{place} {course['therapy']}"
                yield (
                    name,
                    hours,
                    outcome,
                    *map(_percent, held["probability"]),
                    " -> ".join(dict.fromkeys(held["band"])),
                )


def _percent(probability: float | None) -> str:
    return "not evaluated" if probability is None else f"{100 * probability:.2f} %"


def _short(value: Any) -> str:
    """A value on one line, long digests and lists cut; --json has them whole."""
    text = "none" if value is None else table.text(value)
    return text if len(text) <= 48 else f"{text[:45]}..."
