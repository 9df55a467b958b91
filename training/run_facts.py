"""What a run and a registered version in MLflow say of a bundle: its parameters and its tags."""

from collections.abc import Mapping
from typing import Any

from features.outcomes import OUTCOME_KEYS
from training.train import Trained

LONGEST = 500  # characters of a parameter or a tag that MLflow keeps


def verb(about: Mapping[str, Any]) -> str:
    """What made a bundle, as its run is named."""
    return "recalibrate" if about["lineage"]["parent"] else "train"


def learnt_from(about: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data that made this version: those of its last recalibration, or else of its training."""
    held: Mapping[str, Any] = about["recalibrations"][-1]["data"] if "recalibrations" in about else about["trained_on"]
    return held


def origin(about: Mapping[str, Any]) -> dict[str, str]:
    """The tags that say whether the courses were made up and, where there is a parent, its digest and the change."""
    held = about["lineage"]
    made_up = {"synthetic": str(about["trained_on"]["synthetic"]).lower()}
    return made_up | ({name: str(held[name]) for name in ("parent", "change", "method")} if held["parent"] else {})


def overridden(about: Mapping[str, Any]) -> dict[str, str]:
    """The tag that names the data checks somebody answered for, with the reasons; none where there are none."""
    given = "; ".join(f"{one['code']}: {one['reason']}" for one in about["overrides"])
    return {"overrides": given[:LONGEST]} if given else {}


def parameters(trained: Trained) -> dict[str, str]:
    """Settings, fingerprints and sizes, each cut to what MLflow keeps."""
    about = trained.bundle.about
    settings = {f"settings.{key}": str(value) for key, value in about["settings"].items()}
    data = learnt_from(about)
    facts = {
        "spec_fingerprint": trained.bundle.spec.fingerprint,
        "data_fingerprint": data["fingerprint"],
        "source_fingerprint": data["source_fingerprint"],
        "code_commit": about["code_commit"],
        "lock_digest": about["lock_digest"],
        "courses": str(data["courses"]),
        "rows": str(trained.table_rows),
        "columns": str(len(trained.bundle.spec.columns)),
        "outcomes_fitted": ", ".join(key for key in OUTCOME_KEYS if trained.bundle.fitted(key)),
    }
    return {key: value[:LONGEST] for key, value in {**settings, **facts}.items()}
