"""The code that a bundle was made by: its commit, and the lock of what is installed; whether a file is as committed."""

import hashlib
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def commit() -> str:
    """The commit of the code, "+changes" where the checkout differs from it, "unknown" outside a checkout."""
    head = (_git(ROOT, "rev-parse", "HEAD") or b"").decode().strip()
    return f"{head}{'+changes' if _git(ROOT, 'status', '--porcelain') else ''}" if head else "unknown"


def committed(path: Path, held: bytes) -> bool | None:
    """Whether these bytes are those of a file's latest commit; None where no git or no repository can say so."""
    place = path.resolve()
    if _git(place.parent, "rev-parse", "--git-dir") is None:
        return None
    return _git(place.parent, "cat-file", "blob", f"HEAD:./{place.name}") == held


def lock_digest() -> str:
    """SHA-256 of the lock, "" where there is none."""
    lock = ROOT / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else ""


def _git(folder: Path, *words: str) -> bytes | None:
    """What git answers there; None where it is not installed, or says that it cannot."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
