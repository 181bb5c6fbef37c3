"""Sizes and addresses as the file writes them, and the error of all that it writes wrong."""

from typing import Final


class ConfigError(Exception):
    """The configuration is wrong; the message names the key and what to change."""


_UNITS: Final = {
    "": 1,
    "B": 1,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "K": 2**10,
    "M": 2**20,
    "G": 2**30,
}


def parse_size(text: str, key: str) -> int:
    """Bytes of a size such as `512MiB`; ConfigError naming `key`."""
    digits = text.strip().rstrip("abBgGiIkKmM")
    unit = text.strip()[len(digits) :].upper()
    try:
        size = int(digits)
    except ValueError:
        size = -1
    if size <= 0 or unit not in _UNITS:
        raise ConfigError(f"{key}: '{text}' is not a size; write for example 512MiB or 2GiB")
    return size * _UNITS[unit]


def parse_address(text: str, key: str) -> tuple[str, int]:
    """`host:port` taken apart; ConfigError naming `key`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ConfigError(f"{key}: '{text}' is not an address; write for example 127.0.0.1:15306")
    return host.strip("[]") or "0.0.0.0", int(port)
