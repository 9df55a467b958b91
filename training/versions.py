"""Registered versions as MLflow shows them: what was judged, who approved, what is live.

A mirror; all that is read back is which bundle a version is, and where its data lay.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from features.home import MODEL_NAME, Home
from training import tracking
from training.run_facts import LONGEST

#: The tag that says since when a version is live.
LIVE_FROM = "live.from"


def named(home: Home, which: str, uri: str | None = None) -> tracking.Registered:
    """A version by number or alias; UsageError where there is none."""
    with tracking.store(home, uri) as client:
        found = tracking.version_of(client, which)
        return tracking.Registered(str(found.run_id), str(found.version), str(found.tags["bundle_digest"]))


def data_folder(home: Home, registered: tracking.Registered, uri: str | None = None) -> Path | None:
    """The cohort's folder that was recorded with a version; None where it was made without data."""
    with tracking.store(home, uri) as client:
        inputs = client.get_run(registered.run_id).inputs
        held = inputs.dataset_inputs if inputs else []
        sources = [json.loads(one.dataset.source)["uri"] for one in held]
    return Path(sources[-1]) if sources else None


def mark(home: Home, number: str, tags: Mapping[str, str], uri: str | None = None) -> None:
    """Set tags of a version."""
    with tracking.store(home, uri) as client:
        for key, value in tags.items():
            client.set_model_version_tag(MODEL_NAME, number, key, value[:LONGEST])


def add_document(home: Home, registered: tracking.Registered, file: str, text: str, uri: str | None = None) -> None:
    """Put a text file beside the run that made a version; it takes the place of an earlier one of that name."""
    with tracking.store(home, uri) as client:
        client.log_text(registered.run_id, text, file)


def champion(home: Home, uri: str | None = None) -> str:
    """The version that has the champion's alias; "" where none has it."""
    with tracking.store(home, uri) as client:
        found = client.search_registered_models(f"name = '{MODEL_NAME}'")
        return str(found[0].aliases.get(tracking.CHAMPION, "")) if found else ""


def tags(home: Home, number: str, uri: str | None = None) -> dict[str, str]:
    """The tags of a version."""
    with tracking.store(home, uri) as client:
        return dict(tracking.version_of(client, number).tags)


def since(time: datetime) -> str:
    """The value of LIVE_FROM: seconds, UTC."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def make_champion(home: Home, number: str, time: datetime, uri: str | None = None) -> None:
    """Move the champion's alias to a version, last of all, and say since when it is live."""
    mark(home, number, {LIVE_FROM: since(time)}, uri)
    tracking.set_champion(home, number, uri)
