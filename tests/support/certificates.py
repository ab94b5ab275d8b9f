"""Owns the certificates of the tests: one authority, and good and bad server certificates below it."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass
class Authority:
    """A throw-away authority; ``pem`` files hold key, certificate and authority."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    ca_pem: str = ""

    def __post_init__(self) -> None:
        name = _name("flywizard test authority")
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(self.key, hashes.SHA256())
        )
        self.ca_pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        (self.folder / "ca.pem").write_text(self.ca_pem)

    def server(
        self, label: str, *, host: str = "localhost", expired: bool = False, alone: bool = False
    ) -> Path:
        """Write ``<label>.pem``; ``alone`` signs it by itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == "localhost":
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        signer = key if alone else self.key
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(host))
            .issuer_name(_name(host) if alone else self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 20 * DAY)
            .not_valid_after(NOW - DAY if expired else NOW + 20 * DAY)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .sign(signer, hashes.SHA256())
        )
        parts = _key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM)
        path = self.folder / f"{label}.pem"
        path.write_bytes(parts if alone else parts + self.ca_pem.encode())
        return path

    def context(self, label: str, *, ask_client: bool = False) -> ssl.SSLContext:
        """Return a server context of ``<label>.pem``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{label}.pem")
        if ask_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.ca_pem)
        return context


def make_authority(folder: Path) -> Authority:
    """Make an authority with the certificates ``good``, ``wronghost``, ``expired`` and ``selfsigned``."""
    authority = Authority(folder)
    authority.server("good")
    authority.server("wronghost", host="other.example.com")
    authority.server("expired", expired=True)
    authority.server("selfsigned", alone=True)
    return authority
