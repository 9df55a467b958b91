"""The one command: puts the verbs of commands/ together and turns errors into one line and an exit code."""

import os
import sys
from pathlib import Path

from commands import audit, cohorts, files, models, promotion, services, trust, watching
from commands.options import group

app = group()
for verbs in (services, models, promotion, files, watching):
    app.add_typer(verbs.APP)
app.add_typer(cohorts.APP, name="cohort")
app.add_typer(audit.APP, name="audit")
app.add_typer(trust.APP, name="trust")
app.add_typer(watching.OUTCOMES, name="outcomes")


def main() -> None:
    """Run a verb; an error of ours becomes one line and its own exit code."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from features.errors import CrsRiskError

    try:
        app()
    except CrsRiskError as error:
        print(f"crs: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"crs: {_named(error)}", file=sys.stderr)
        sys.exit(1)


def _named(error: OSError) -> str:
    """The kind of a system's error and the name of its file, if it has one; never the message, which may hold more."""
    name = error.filename if isinstance(error.filename, str) else ""
    return f"{Path(name).name}: {type(error).__name__}" if name else type(error).__name__


if __name__ == "__main__":
    main()
