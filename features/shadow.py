"""Which registered version is scored beside the live one, unseen by those who ask: named by shadow.json in the home."""

import json
import os
from dataclasses import asdict

from features.errors import StoreError
from features.home import Home, Live, make_folder


def read_shadow(home: Home) -> Live | None:
    """The shadow's bundle in the model store; None where there is none, StoreError where the file is damaged."""
    try:
        body = json.loads(home.shadow.read_text(encoding="utf-8"))
        return Live(**body["shadow"]) if body["shadow"] else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreError("shadow.json", "the file is damaged or cannot be read", "name the shadow again") from error


def write_shadow(home: Home, shadow: Live | None) -> None:
    """Name the shadow, or none: one atomic replacement. OSError where the disk fails on the way."""
    make_folder(home.folder)
    draft = home.shadow.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"shadow": asdict(shadow) if shadow else None}, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(home.shadow)
