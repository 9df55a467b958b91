"""The verbs that answer: demo and serve."""

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.options import Host, Port, Seed, group, home, tracking_uri

APP = group()


@APP.command()
def demo(
    courses: Annotated[int, typer.Option(help="Synthetic courses to train on.", min=200)] = 2000,
    seed: Seed = 1,
    host: Host = "127.0.0.1",
    port: Port = 3000,
    once: Annotated[
        bool, typer.Option("--once", help="Ask one question over HTTP, print the answer and stop.")
    ] = False,
) -> None:
    """Synthetic cohort, training, MLflow, promotion, service: the whole of it. Example: crs demo --port 3000"""
    from serving.trust import start

    state = home()
    start.settle(state, host)  # before the long imports, too
    from data import synthetic
    from features.home import make_folder
    from serving import run
    from training import flows, promotion_verbs
    from training.cluster import on_cluster

    run.check_address(host, port)
    promotion_verbs.check_demonstration(state)
    # The name tells the tables apart, so that a later release does not train on an earlier one's cohort.
    cohort = make_folder(state.folder) / f"synthetic-{courses}-{seed}-{synthetic.version()}"
    if not cohort.exists():
        flows.synthesise(cohort, courses, seed, "parquet")
    with on_cluster(""):  # the processes that train are gone before the service starts
        version = flows.train(state, cohort, "synthetic-demo", flows.demo_settings(), tracking_uri(), step=False)
    promotion_verbs.promote_version(state, version, None, tracking_uri(), demonstration=True)
    _run(state, host, port, workers=1, once=once)


@APP.command()
def serve(
    host: Host = "127.0.0.1",
    port: Port = 3000,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    trust: Annotated[
        Path | None, typer.Option(help="TOML file that says who may call; else trust.toml in the state folder.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate chain, for TLS without a proxy.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its private key, without a password.")] = None,
) -> None:
    """Serve the promoted bundle until stopped. Example: crs serve --port 3000 --workers 2"""
    from serving.trust.tls import Certificate

    _run(home(writes=False), host, port, workers, trust=trust, certificate=Certificate.of(tls_cert, tls_key))


def _run(state: Any, host: str, port: int, workers: int, once: bool = False, **trusted: Any) -> None:
    from serving import announce, run

    run.serve(state, host, port, workers, on_ready=announce.once if once else announce.address, **trusted)
