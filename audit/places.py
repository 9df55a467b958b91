"""Where a ledger and the copies of its checkpoints lie, as a record may tell it: never who signs in there, nor how."""

from urllib.parse import urlsplit

from audit import outside
from audit.database import address
from audit.keys import keyed, tenant_key
from audit.settings import Settings
from features.home import Home


def told(home: Home, settings: Settings) -> dict[str, str]:
    """Database, folder and address of the copies; "" for SQLite in the home, and where no address is named.

    checkpoint_url_digest: keyed, so that a change of any part of the address is seen and nothing of it can be guessed.
    """
    return {
        "database_place": _database(settings.uri),
        "checkpoint_folder": str(outside.folder(home, settings).absolute()),
        "checkpoint_url_host": _host(settings.url),
        "checkpoint_url_digest": keyed(tenant_key(home), settings.url.encode()) if settings.url else "",
    }


def _database(uri: str) -> str:
    """host:port/database of a PostgreSQL URL."""
    if not uri:
        return ""
    found = address(uri)
    host = found.host or found.query.get("host", "")
    return f"{host}:{found.port}/{found.database}" if found.port else f"{host}/{found.database}"


def _host(url: str) -> str:
    """Scheme, host and port; "" for what is no URL: its parts cannot be told from a password."""
    try:
        parts = urlsplit(url)
        place = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        return ""
    return f"{parts.scheme}://{place}" if parts.scheme and place else ""
