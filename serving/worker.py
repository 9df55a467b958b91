"""One worker process: load and check the bundle, then answer on the socket that the parent opened.

Started by serving.run only. It tells the parent on a pipe when it is ready or why it cannot serve, and ends when the
parent ends, however that comes about.
"""

import json
import os
import signal
import socket
import sys
import threading
import time

import uvicorn
from starlette.types import ASGIApp

from features.errors import CrsRiskError
from serving import log
from serving.trust.addresses import check_exposed
from serving.trust.tls import Certificate

#: Seconds that a request in flight may take to finish once the worker was told to end.
GRACE_SECONDS = 20


class _Server(uvicorn.Server):
    """Tells the parent once connections are accepted."""

    def __init__(self, config: uvicorn.Config, status: int) -> None:
        super().__init__(config)
        self._status = status

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            tell(self._status, ready=os.getpid())


def tell(status: int, **message: object) -> None:
    """One line of JSON to the parent; shorter than a pipe's atomic write."""
    os.write(status, json.dumps(message).encode() + b"\n")


def main(listener: int, lifeline: int, status: int) -> int:
    """Serve until told to end; returns the exit code."""
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    log.configure(log.form(os.environ))  # a word that is none has ended the start before
    door = socket.socket(fileno=listener)
    try:
        application = _application(door)
        certificate = Certificate.from_environment(os.environ)
    except CrsRiskError as error:
        tell(status, failed=[error.exit_code, error.place, error.problem, error.remedy])
        return error.exit_code
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_context_factory=(lambda *_: certificate.context()) if certificate else None,
    )
    _Server(config, status).run(sockets=[door])
    return 0


def _application(door: socket.socket) -> ASGIApp:
    """Trust and the checked bundle first: a failure there is told in one line, before any framework is imported.

    What was read otherwise than at the service's start is recorded before anything is answered.
    """
    from serving import configured
    from serving.recorded import appends
    from serving.store import loaded
    from serving.trust.gatekeeper import gatekeeper

    check_exposed(str(door.getsockname()[0]), gatekeeper().development)
    loaded()
    changed = configured.changes(os.environ, gatekeeper().settings, gatekeeper().digest)
    if changed:
        appends().append_all(changed)
    from bentoml._internal.context import server_context

    from serving.service import SERVICE, application

    server_context.service_name = server_context.bento_name = SERVICE.name
    log.configure(log.form(os.environ))
    server_context.service_type = "entry_service"
    server_context.service_routes = [api.route for api in SERVICE.apis.values()]
    return application()


def _end_with_parent(lifeline: int) -> None:
    """The pipe's other end is the parent's alone: it closes when the parent is gone."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*(int(text) for text in sys.argv[1:4])))
