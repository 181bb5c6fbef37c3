"""Dates and times between the binary protocol's fields and MySQL's own text for them.

Every bit pattern that MySQL sends has one text, zero dates and durations of 838 hours included; text is checked
strictly on the way back. Offsets and errors are as in `wire.binary.Decoder`.
"""

from __future__ import annotations

import re
from struct import Struct

_DATE = Struct("<HBB")
_DATETIME = Struct("<HBBBBB")
_DATETIME_MICROS = Struct("<HBBBBBI")
_TIME = Struct("<BIBBB")
_TIME_MICROS = Struct("<BIBBBI")

_DATETIME_TEXT = re.compile(rb"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?")
_TIME_TEXT = re.compile(rb"(-)?(\d{1,4}):([0-5]\d):([0-5]\d)(?:\.(\d{1,6}))?")


def read_datetime(data: bytes, at: int, date_only: bool, decimals: int) -> tuple[bytes, int]:
    """A DATE, DATETIME or TIMESTAMP at `at` as text, and the offset after it."""
    size = data[at]
    at += 1
    hour = minute = second = micros = 0
    if size == 0:
        year = month = day = 0
    elif size == 4:
        year, month, day = _DATE.unpack_from(data, at)
    elif size == 7:
        year, month, day, hour, minute, second = _DATETIME.unpack_from(data, at)
    elif size == 11:
        year, month, day, hour, minute, second, micros = _DATETIME_MICROS.unpack_from(data, at)
    else:
        raise ValueError("not a date")
    if year > 9999 or month > 12 or day > 31 or hour > 23 or minute > 59 or second > 59 or micros > 999999:
        raise ValueError("not a date")
    if date_only:
        return b"%04d-%02d-%02d" % (year, month, day), at + size
    text = b"%04d-%02d-%02d %02d:%02d:%02d" % (year, month, day, hour, minute, second)
    return text + _fraction(micros, decimals), at + size


def read_time(data: bytes, at: int, decimals: int) -> tuple[bytes, int]:
    """A TIME at `at` as text, hours beyond 24 included, and the offset after it."""
    size = data[at]
    at += 1
    micros = 0
    if size == 0:
        negative = days = hour = minute = second = 0
    elif size == 8:
        negative, days, hour, minute, second = _TIME.unpack_from(data, at)
    elif size == 12:
        negative, days, hour, minute, second, micros = _TIME_MICROS.unpack_from(data, at)
    else:
        raise ValueError("not a time")
    # 35 days are more than MySQL's 838:59:59, and bound the text
    if days > 35 or hour > 23 or minute > 59 or second > 59 or micros > 999999:
        raise ValueError("not a time")
    text = b"%s%02d:%02d:%02d" % (b"-" if negative else b"", days * 24 + hour, minute, second)
    return text + _fraction(micros, decimals), at + size


def write_datetime(text: bytes) -> bytes:
    """The shortest encoding of a date or datetime in text. ValueError if it is neither."""
    match = _DATETIME_TEXT.fullmatch(text)
    if match is None:
        raise ValueError("not a date")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    micros = int((match[7] or b"0").ljust(6, b"0"))
    if micros:
        return b"\x0b" + _DATETIME_MICROS.pack(year, month, day, hour, minute, second, micros)
    if hour or minute or second:
        return b"\x07" + _DATETIME.pack(year, month, day, hour, minute, second)
    if year or month or day:
        return b"\x04" + _DATE.pack(year, month, day)
    return b"\x00"


def write_time(text: bytes) -> bytes:
    """The shortest encoding of a time in text. ValueError if it is none."""
    match = _TIME_TEXT.fullmatch(text)
    if match is None:
        raise ValueError("not a time")
    days, hour = divmod(int(match[2]), 24)
    minute, second = int(match[3]), int(match[4])
    micros = int((match[5] or b"0").ljust(6, b"0"))
    negative = 1 if match[1] else 0
    if micros:
        return b"\x0c" + _TIME_MICROS.pack(negative, days, hour, minute, second, micros)
    if negative or days or hour or minute or second:
        return b"\x08" + _TIME.pack(negative, days, hour, minute, second)
    return b"\x00"


def _fraction(micros: int, decimals: int) -> bytes:
    if decimals > 6:
        return b".%06d" % micros if micros else b""
    if decimals == 0:
        return b""
    return b"." + (b"%06d" % micros)[:decimals]
