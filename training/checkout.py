"""The code that a bundle was made by: its commit, and the lock of what is installed; whether a file is as committed."""

import hashlib
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_OF_HOOKS = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"})


def commit() -> str:
    """The commit of the code, "+changes" where the checkout differs from it, "unknown" outside a checkout."""
    head = (_git(ROOT, "rev-parse", "HEAD") or b"").decode().strip()
    return f"{head}{'+changes' if _git(ROOT, 'status', '--porcelain') else ''}" if head else "unknown"


def committed(path: Path, held: bytes) -> bool | None:
    """Whether these bytes are those of a file's latest commit; None where git cannot say so.

    It cannot without git, outside a repository, or of a file that a repository leaves out on purpose.
    """
    place = path.resolve()
    left_out = _git(place.parent, "check-ignore", "-q", "--", place.name) is not None
    if left_out or _git(place.parent, "rev-parse", "--git-dir") is None:
        return None
    return _git(place.parent, "cat-file", "blob", f"HEAD:./{place.name}") == held


def lock_digest() -> str:
    """SHA-256 of the lock, "" where there is none."""
    lock = ROOT / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else ""


def _git(folder: Path, *words: str) -> bytes | None:
    """What git answers there; None where it is not installed, or says that it cannot."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, check=False, env=_outside_hooks()
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _outside_hooks() -> dict[str, str]:
    """The environment without what a hook of git sets, which would name another repository."""
    return {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
