"""An alarm where an issuer's clock and ours differ, seen on tokens whose signature held: nobody else can raise it."""

import time
from collections.abc import Callable

from serving.log import LOGGER
from serving.trust.settings import Tokens
from serving.trust.token import Claims

#: Seconds between two alarms about one issuer.
ALARM_SECONDS = 60.0


class Clocks:
    """Watches the times that issuers state, against `settings.clock_skew_seconds`."""

    def __init__(self, settings: Tokens, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.settings, self.monotonic = settings, monotonic
        self._told: dict[str, float] = {}

    def see(self, claims: Claims, now: float) -> None:
        """Warn, at most once a minute per issuer: half of what is allowed is used up, or more than that is."""
        skew = self.settings.clock_skew_seconds
        if claims.iat - now > skew / 2:
            self._alarm(claims.iss, f"was issued {claims.iat - now:.0f} s ahead of this clock")
        elif now - claims.exp > skew:
            self._alarm(claims.iss, f"had ended {now - claims.exp:.0f} s ago by this clock")

    def _alarm(self, issuer: str, what: str) -> None:
        at = self.monotonic()
        if at - self._told.get(issuer, float("-inf")) >= ALARM_SECONDS:
            self._told[issuer] = at
            LOGGER.warning("clock-skew: a token of %s %s; check both clocks", issuer, what)
