"""Where the real data for development lies; a test that needs it says so when it is absent."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def real_file(*parts: str) -> Path:
    """A file below the shared data folder (CRS_RISK_SHARED, or ../shared beside the repository); skips if absent."""
    shared = Path(os.environ.get("CRS_RISK_SHARED", ROOT.parent / "shared"))
    path = shared.joinpath("data", *parts)
    if not path.is_file():
        pytest.skip(f"SKIPPED: no real data at {path}; set CRS_RISK_SHARED to the folder that holds data/")
    return path


BWH = ("bwh-cart", "AllBWH_5days_deID.xlsx")
LBCL = ("lbcl-daily-grades", "swimmer_plot_data.xlsx")
