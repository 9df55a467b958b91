"""`crs recalibrate`: a registered version brought to a centre's own courses, as a new version beside its parent."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from features import bundle
from features.bundle import Bundle
from features.catalogue import load
from features.home import BUNDLE_FOLDER, Home
from training import recalibrate as recalibration
from training.config import Settings, from_mapping
from training.diagnose import Override
from training.flows import console, learnt_from, record
from training.recalibration_fit import Method


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. version: a number or an alias. name: of the data. settings: None for the version's own."""

    folder: Path
    version: str
    method: Method
    name: str
    settings: Settings | None = None
    derive_grades: bool = False
    overrides: Sequence[Override] = ()


def recalibrate(home: Home, request: Request, uri: str | None) -> str:
    """Check the data, recalibrate on them, register the result as the challenger; returns its version.

    The courses of patients who are locked at the version's own share are left out. DataError where a data check refuses
    the cohort and no override answers for it, or no outcome can be judged.
    """
    from training import tracking

    with tempfile.TemporaryDirectory() as scratch:
        held = Path(scratch) / BUNDLE_FOLDER
        registered = tracking.fetch(home, request.version, held, uri)
        parent = bundle.read(held, registered.digest)
    own = settings_of(parent)
    part = learnt_from(request.folder, own.test_share, request.derive_grades, request.overrides)
    console.print(f"version {registered.version} ({parent.about['name']}): {request.method}")
    # What is locked is the version's own matter, whatever other settings are given.
    settings = replace(request.settings or own, test_share=own.test_share)
    asked = recalibration.Request(request.method, request.name, settings, part.source_fingerprint, request.overrides)
    made = recalibration.recalibrate(parent, part.cohort, asked, load(), console.print)
    return record(home, made, request.folder, uri)


def settings_of(parent: Bundle) -> Settings:
    """The settings that a version was trained with; one from before there was a locked test set has none."""
    known = {one.name for one in fields(Settings)}
    stated = {"test_share": 0.0, **parent.about["settings"]}
    return from_mapping({key: value for key, value in stated.items() if key in known}, "settings of the version")
