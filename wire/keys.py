"""Keys and self-signed certificates: the one importer of `cryptography`.

Making an RSA key takes about 100 ms: make it once, in the parent of all workers, and hand the PEM to them; a client
that has cached the public key would otherwise fail at every other worker.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# caching_sha2_password uses OAEP with SHA-1, as OpenSSL's RSA_PKCS1_OAEP_PADDING; SHA-1 is no weakness in OAEP
_OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA1()), algorithm=hashes.SHA1(), label=None)


def generate_rsa_pem(bits: int = 2048) -> bytes:
    """A new private key, PKCS#8 PEM without a passphrase."""
    return _private_pem(rsa.generate_private_key(public_exponent=65537, key_size=bits))


class RsaPrivateKey:
    """The key that full authentication over an open channel is encrypted for."""

    __slots__ = ("_key", "public_pem")

    def __init__(self, private_pem: bytes) -> None:
        """ValueError if the PEM holds no RSA private key without a passphrase."""
        key = serialization.load_pem_private_key(private_pem, password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("not an RSA private key")
        self._key = key
        self.public_pem: bytes = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def decrypt(self, ciphertext: bytes) -> bytes | None:
        """The plaintext, or None where the ciphertext was not made with our key. About 1 ms."""
        if len(ciphertext) * 8 != self._key.key_size:
            return None
        try:
            return self._key.decrypt(ciphertext, _OAEP)
        except ValueError:
            return None


def encrypt(public_pem: bytes, plaintext: bytes) -> bytes:
    """The client's side, for tests and for checks of our own listener."""
    key = serialization.load_pem_public_key(public_pem)
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("not an RSA public key")
    return key.encrypt(plaintext, _OAEP)


def self_signed_certificate(
    now: datetime.datetime,
    names: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
    days: int = 3650,
) -> tuple[bytes, bytes]:
    """A certificate for host names or addresses and its key, both PEM. `now` is aware; validity begins a day
    before, for peers whose clock is behind. Its key is of P-256: a handshake costs half of what RSA's does."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sluice self-signed")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
