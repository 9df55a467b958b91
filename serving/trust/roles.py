"""Which role a route asks for. A route that is not named here asks for `predict`: nothing is open by oversight."""

from serving.trust.settings import Open

_PROBES = frozenset({"/livez", "/readyz", "/healthz"})
_PAGE = frozenset({"/", "/page.css", "/model"})
_DISCOVERY = "/cds-services"


def needed(path: str) -> str:
    """The role that a call to this path needs."""
    if path == "/outcomes" or path.startswith("/outcomes/"):
        return "outcomes"
    if path.startswith(f"{_DISCOVERY}/") and path.endswith("/feedback"):
        return "feedback"
    if path.startswith("/audit") or path == "/metrics":
        return "audit-read"
    return "predict"


def is_open(path: str, settings: Open) -> bool:
    """Whether a path is answered without a token: the probes always, the rest as the settings say."""
    return (
        path in _PROBES
        or (settings.page and path in _PAGE)
        or (settings.discovery and path == _DISCOVERY)
        or (settings.metrics and path == "/metrics")
    )


def takes_access_tokens(path: str) -> bool:
    """Whether a token for many calls will do. CDS Hooks asks for one per call, on every address of its own."""
    return path != _DISCOVERY and not path.startswith(f"{_DISCOVERY}/")
