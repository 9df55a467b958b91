"""TLS of the service itself, where no proxy ends it: a certificate chain and its key, TLS 1.2 or newer."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from features.errors import UsageError

_CERTIFICATE, _KEY = "CRS_RISK_TLS_CERT", "CRS_RISK_TLS_KEY"


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files: the chain, the service's own certificate first, and its private key without a password."""

    chain: Path
    key: Path

    @classmethod
    def of(cls, chain: Path | None, key: Path | None) -> "Certificate | None":
        """None where neither is named; UsageError where one is, or they do not belong together."""
        if chain is None and key is None:
            return None
        if chain is None or key is None:
            raise UsageError("--tls-cert, --tls-key", "one is named without the other", "name both, or neither")
        made = cls(chain.resolve(), key.resolve())
        made.context()
        return made

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Certificate | None":
        """As the parent process told its workers."""
        chain, key = (environment.get(name) for name in (_CERTIFICATE, _KEY))
        return cls.of(Path(chain) if chain else None, Path(key) if key else None)

    def context(self) -> ssl.SSLContext:
        """Ready to serve; UsageError where the files cannot be used. A key with a password is not asked for it."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            made.load_cert_chain(self.chain, self.key, password=lambda: "")
        except (OSError, ValueError) as error:
            problem = "the certificate and the key cannot be used together"
            raise UsageError("--tls-cert, --tls-key", problem, "name PEM files, the key without a password") from error
        return made


def tell_workers(certificate: Certificate | None) -> None:
    """Leave the names of the files in the environment that workers inherit."""
    for name in (_CERTIFICATE, _KEY):
        os.environ.pop(name, None)
    if certificate:
        os.environ.update({_CERTIFICATE: str(certificate.chain), _KEY: str(certificate.key)})
