"""Analytes of which nothing is left: each of their values was refused when the cohort was read."""

import numpy as np

from training.diagnose_findings import Finding, finding
from training.diagnose_material import Material


def check(held: Material) -> list[Finding]:
    """One finding per analyte that has rows of these courses and not one value that could be read."""
    kept = set(np.unique(held.cohort.observations.code).tolist())
    lost = {key: rows for key, rows in held.came.items() if held.catalogue.code_position(key) not in kept}
    return [
        finding("analyte-lost", "warn", "observations", key, rows, f"none of {rows} rows could be used")
        for key, rows in sorted(lost.items())
    ]
