"""What a process computes with: the versions, the lock and the processor that the last bits of an answer hang on."""

import platform
from functools import cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from audit.events import plain

_LIBRARIES = ("numpy", "xgboost-cpu", "scikit-learn", "scipy", "bentoml", "msgspec", "crs-risk")
#: Instruction sets by which libraries choose their arithmetic.
_SETS = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "asimd", "sve")
_ROOT = Path(__file__).resolve().parents[1]


@cache
def facts() -> dict[str, Any]:
    """Versions, the digest of the lock ("" where the file is not there) and what the processor can do."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "lock": _lock(),
        "processor": _instruction_sets(),
    }


@cache
def digest() -> str:
    """SHA-256 of the facts; the ledger holds them in full where a service starts."""
    return sha256(plain(facts())).hexdigest()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _lock() -> str:
    path = _ROOT / "requirements.lock"
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _instruction_sets() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return sorted(flag for flag in flags if flag.startswith(_SETS))
