"""The errors a user can meet: one line that names the place, what was expected and what to do.

No message carries a patient's value. `place` is a table and column, a request's field path or a file name.
"""


class CrsRiskError(Exception):
    """Base of every error this product raises on purpose.

    `exit_code` is what the `crs` command returns; `http_status` is what the service answers.
    """

    exit_code = 1
    http_status = 500

    def __init__(self, place: str, problem: str, remedy: str = "") -> None:
        self.place = place
        self.problem = problem
        self.remedy = remedy
        text = f"{place}: {problem}"
        super().__init__(" ".join((f"{text}; {remedy}" if remedy else text).split()))

    def __reduce__(self) -> tuple[type["CrsRiskError"], tuple[str, str, str]]:
        """Made again from its parts, so that an error of another process arrives as the same one line."""
        return type(self), (self.place, self.problem, self.remedy)


class UsageError(CrsRiskError):
    """A command or a setting asked for something that cannot be done as asked."""

    exit_code = 2
    http_status = 400


class DataError(CrsRiskError):
    """A table, an extract or a mapping file does not keep its contract."""

    exit_code = 3
    http_status = 422


class UnitError(DataError):
    """A unit is not on the analyte's whitelist, or a converted value is not plausible."""


class RequestError(CrsRiskError):
    """A request's body does not keep its contract; `place` is the field's path."""

    exit_code = 3
    http_status = 400


class BundleError(CrsRiskError):
    """A model bundle is missing, altered, of another format, or no longer gives its golden answers."""

    exit_code = 4
    http_status = 503


class StoreError(CrsRiskError):
    """MLflow, the model store or the state folder cannot be used as it stands."""

    exit_code = 5
    http_status = 503


class CatalogueError(CrsRiskError):
    """A reviewed table that ships with the product breaks its own rules."""

    exit_code = 6
    http_status = 500


class LedgerError(CrsRiskError):
    """The audit ledger cannot be written or read, or was altered."""

    exit_code = 7
    http_status = 503


class ClusterError(CrsRiskError):
    """The Dask cluster that was named cannot be reached, is lost on the way, or runs other code; or a local process
    was ended from outside."""

    exit_code = 8
    http_status = 503


class GateError(CrsRiskError):
    """A change of the served model was refused, cannot be judged, or is not approved yet."""

    exit_code = 9
    http_status = 503
