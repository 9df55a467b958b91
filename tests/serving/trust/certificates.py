"""A certificate for localhost that signs itself, made anew for a test."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from serving.trust.tls import Certificate

_PEM = serialization.Encoding.PEM


def certificate(folder: Path, password: bytes = b"") -> Certificate:
    """PEM files `tls.crt` and `tls.key` in the folder, good for a day."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    (folder / "tls.crt").write_bytes(made.public_bytes(_PEM))
    (folder / "tls.key").write_bytes(secret.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, lock))
    return Certificate(folder / "tls.crt", folder / "tls.key")
