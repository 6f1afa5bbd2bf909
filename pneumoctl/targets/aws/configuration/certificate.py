"""The certificate of the front door: made here for the stack, or the user's, checked before it goes to a host."""

import ipaddress
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically

if TYPE_CHECKING:
    from cryptography import x509

DAYS = 365
RENEW_DAYS = 30
CERTIFICATE, KEY = "certificate.pem", "key.pem"


def load_or_make(directory: Path, names: Collection[str], now: datetime, common_name: str) -> tuple[bytes, bytes]:
    """Certificate and key in this directory; new ones, which are not saved, if they are missing or no longer valid."""
    try:
        pair = (directory / CERTIFICATE).read_bytes(), (directory / KEY).read_bytes()
        if fits(pair[0], names, now) and _belongs(*pair):
            return pair
    except (FileNotFoundError, ValueError, TypeError):
        pass
    return make(names, now, common_name)


def save(directory: Path, certificate: bytes, key: bytes) -> None:
    """Write both into this directory with mode 0600."""
    write_atomically(directory / KEY, key, 0o600)
    write_atomically(directory / CERTIFICATE, certificate, 0o600)


def make(names: Collection[str], now: datetime, common_name: str = "pneumoctl") -> tuple[bytes, bytes]:
    """A self-signed certificate for these addresses and host names, and its key (P-256), as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    ours = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # for clocks that are behind
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in sorted(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signing_only(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(ours, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ours), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return certificate.public_bytes(form.Encoding.PEM), secret


def days_left(certificate: bytes, now: datetime) -> float:
    """Days until the certificate expires, negative afterwards. Raises ValueError if it is no certificate."""
    return (_leaf(certificate).not_valid_after_utc - now) / timedelta(days=1)


def begun(certificate: bytes, now: datetime) -> bool:
    """Whether the certificate's time has begun. Raises ValueError if it is no certificate."""
    return _leaf(certificate).not_valid_before_utc <= now


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate (of the first one of a chain), in hexadecimal digits."""
    from cryptography.hazmat.primitives import hashes

    return _leaf(certificate).fingerprint(hashes.SHA256()).hex()


def fits(certificate: bytes, names: Collection[str], now: datetime, renew_days: float = RENEW_DAYS) -> bool:
    """Whether it covers the names, now and for `renew_days` more days. Raises ValueError if it is no certificate."""
    return begun(certificate, now) and days_left(certificate, now) >= renew_days and not missing(certificate, names)


def missing(certificate: bytes, names: Collection[str]) -> list[str]:
    """The names that the certificate does not cover. A wildcard covers one label; the common name does not count."""
    from cryptography import x509

    try:
        alternatives = _leaf(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return list(names)
    covered = {str(address) for address in alternatives.get_values_for_type(x509.IPAddress)}
    covered |= {name.lower() for name in alternatives.get_values_for_type(x509.DNSName)}
    return [name for name in names if not {_plain(name), f"*.{_plain(name).partition('.')[2]}"} & covered]


def read_user_certificate(certificate: Path, key: Path, names: Collection[str], now: datetime) -> tuple[bytes, bytes]:
    """The user's certificate (a chain may follow it) and key. Raises PneumoError unless they fit."""
    pair = _read(certificate), _read(key)
    try:
        belongs = _belongs(*pair)
    except TypeError as error:
        raise _unfit(
            f"{key} has a passphrase, and nginx would ask for it at each start", "give a key without one"
        ) from error
    except ValueError as error:
        raise _unfit(f"{certificate} and {key} are not a certificate and a key in PEM") from error
    if not belongs:
        raise _unfit(
            f"{key} is not the key of the first certificate in {certificate}", "put the host's own certificate first"
        )
    if days_left(pair[0], now) <= 0:
        raise _unfit(f"{certificate} expired on {_leaf(pair[0]).not_valid_after_utc:%Y-%m-%d}", "renew it")
    if not begun(pair[0], now):
        raise _unfit(f"{certificate} is valid only from {_leaf(pair[0]).not_valid_before_utc:%Y-%m-%d}")
    if uncovered := missing(pair[0], names):
        raise _unfit(f"{certificate} does not cover {', '.join(uncovered)} (no such subject alternative name)")
    return pair


def _unfit(message: str, hint: str = "give another certificate and key") -> PneumoError:
    return PneumoError(message, hint, Exit.USAGE)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unfit(f"{path} cannot be read: {error.strerror}", "correct the path") from error


def _leaf(certificate: bytes) -> "x509.Certificate":
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate)  # of a chain, the first


def _belongs(certificate: bytes, key: bytes) -> bool:
    """Whether the key is that of the certificate. Raises ValueError for other data, TypeError for a passphrase."""
    from cryptography.hazmat.primitives import serialization as form

    public = form.load_pem_private_key(key, None).public_key()
    der = form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(*der) == _leaf(certificate).public_key().public_bytes(*der)


def _plain(name: str) -> str:
    """A name in the form that certificates use."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower().removesuffix(".")


def _general_name(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(_plain(name))


def _signing_only() -> "x509.KeyUsage":
    from cryptography import x509

    first = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    others = (*first, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(digital_signature=True, **dict.fromkeys(others, False))
