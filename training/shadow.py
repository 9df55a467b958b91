"""`crs shadow`: name a registered challenger that the service scores unseen, or none. It never becomes live by that."""

from audit.events import Kind
from audit.ledger import Ledger, open_ledger
from features.errors import StoreError, UsageError
from features.home import Home, Live, read_live
from features.shadow import read_shadow, write_shadow
from training import promote
from training.flows import console


def name_shadow(home: Home, which: str, uri: str | None) -> Live:
    """Verify a registered version, copy it to the model store, and name it; the service takes it up when it starts.

    UsageError where it is live already, or there is no such version; StoreError where nothing is live.
    """
    live = read_live(home)
    with promote.turn(home), open_ledger(home) as ledger:
        shadow = promote.place(home, which, uri, console.print)
        if shadow.digest == live.digest:
            raise UsageError("--version", "that version is live", "name a challenger")
        _change(home, ledger, shadow)
    console.print(f"version {shadow.version} is the shadow of version {live.version}; restart the service")
    return shadow


def no_shadow(home: Home) -> None:
    """Name none; harmless where there is none."""
    with promote.turn(home), open_ledger(home) as ledger:
        _change(home, ledger, None)
    console.print("no shadow; restart the service")


def _change(home: Home, ledger: Ledger, shadow: Live | None) -> None:
    """Record the change, then make it; naming the same one again is no change."""
    before = _held(home)
    if before == shadow:
        return
    named = {"version": shadow.version, "digest": shadow.digest, "tag": shadow.tag} if shadow else {}
    body = {"what": "shadow", "on": shadow is not None, **named, "previous": before.digest if before else ""}
    ledger.append(Kind.CONFIG_CHANGED, body)
    write_shadow(home, shadow)


def _held(home: Home) -> Live | None:
    try:
        return read_shadow(home)
    except StoreError:
        return None  # a damaged file is replaced
