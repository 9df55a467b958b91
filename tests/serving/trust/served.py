"""Homes with settings of trust, and servers on them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from features.home import Home
from tests.serving.builders import ROOT, Server, free_port, prior_bundle, promote
from tests.serving.trust.issuing import BASE, EHR, key, public

OTHER = "https://login.hospital.example"
SETTINGS = f"""
public_url = "{BASE}"
[[issuers]]
issuer = "{EHR}"
jwks_file = "ehr.json"
roles = ["predict", "feedback"]
calls_per_minute = 6000
burst = 1000
[[issuers]]
issuer = "{OTHER}"
kind = "oauth2"
jwks_file = "login.json"
roles = ["predict", "outcomes"]
calls_per_minute = 2
burst = 2
[limits]
seconds_to_send = 1.0
"""


def trusting_home(folder: Path, settings: str = SETTINGS) -> Home:
    """A home with a promoted bundle, keys of two issuers, and these settings."""
    home = Home(folder / "home")
    promote(home, prior_bundle())
    (home.folder / "ehr.json").write_text(json.dumps(public(key())))
    (home.folder / "login.json").write_text(json.dumps(public(key(name="login"))))
    home.trust.write_text(settings)
    return home


def failing_server(home: Home, folder: Path) -> Server:
    """A real server; tests.serving.trust.worker_that_fails says what fails in it."""
    port, log = free_port(), folder / "server.log"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "tests.serving.trust.worker_that_fails", str(home.folder), str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
    return Server(home, port, log, process)
