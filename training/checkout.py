"""The code that a bundle was made by: its commit, and the lock of what is installed."""

import hashlib
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def commit() -> str:
    """The commit of the code, "+changes" where the checkout differs from it, "unknown" outside a checkout."""
    head = _git("rev-parse", "HEAD")
    return f"{head}{'+changes' if _git('status', '--porcelain') else ''}" if head else "unknown"


def lock_digest() -> str:
    """SHA-256 of the lock, "" where there is none."""
    lock = ROOT / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else ""


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
