"""What `crs serve` says once it answers: where it is, a question to copy, and what its model was trained on."""

import json
import os
import signal
import urllib.request
from pathlib import Path

from features.errors import CrsRiskError
from serving.trust import reading

EXAMPLE = Path(__file__).with_name("example_request.json")


def address(url: str) -> None:
    """Print the address and a ready-made question."""
    signed_in = not reading.settled(os.environ).development
    if not signed_in:
        print(
            "\nDevelopment mode: nobody signs in, only this machine is answered. docs/trust.md says how to change it."
        )
    print(f"\nCRS Risk answers at {url} (stop with Ctrl-C). Ask it:\n")
    token = ' -H "Authorization: Bearer $TOKEN"' if signed_in else ""
    print(f"  curl -s {url}/predict -H 'Content-Type: application/json'{token} -d @{EXAMPLE}\n", flush=True)


def once(url: str) -> None:
    """Ask the example question, print the answer and stop the service."""
    address(url)
    request = urllib.request.Request(
        f"{url}/predict", data=EXAMPLE.read_bytes(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            print(json.dumps(json.load(response), indent=1), flush=True)
    except OSError as error:
        raise CrsRiskError("/predict", f"no answer to the example question ({type(error).__name__})") from error
    os.kill(os.getpid(), signal.SIGTERM)
