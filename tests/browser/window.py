"""A browser's window that remembers what its developer tools would show."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request

#: What a page gets of an address: its status, or "nothing" where the browser keeps the answer from it.
_FETCHED = "address => fetch(address).then(answer => answer.status, () => 'nothing')"


@dataclass
class Window:
    """page: the first one; those that it opens are watched too. faults: errors and warnings of the console, errors of
    scripts. origins: who was asked for anything.
    """

    page: Page
    faults: list[str] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)

    @classmethod
    def opened(cls, context: BrowserContext, address: str) -> "Window":
        held = cls(context.new_page())
        context.on("console", held._say)
        context.on("weberror", lambda error: held.faults.append(str(error.error)))
        context.on("request", held._ask)
        held.page.goto(address)
        return held

    def _say(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def _ask(self, request: Request) -> None:
        parts = urlsplit(request.url)
        self.origins.add(f"{parts.scheme}://{parts.netloc}")

    def fetched(self, address: str) -> int | str:
        """What the page's own script gets of an address."""
        found: int | str = self.page.evaluate(_FETCHED, address)
        return found

    @property
    def overflows(self) -> bool:
        """Whether a person has to scroll sideways."""
        found: bool = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        return found
