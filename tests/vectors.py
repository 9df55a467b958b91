"""The golden vectors of the published scores: exact results of each formula as its paper states it."""

import json
from pathlib import Path
from typing import Any

#: Exact in IEEE double arithmetic, in the order in which the formula is written.
TOLERANCE = 1e-12
VECTORS: dict[str, list[Any]] = json.loads((Path(__file__).parent / "score_vectors.json").read_text())
