"""Arithmetic of MySQL's aggregates: exact decimals, and numbers as MySQL prints them.

Source: `my_gcvt` of strings/dtoa.cc for doubles; `Item_sum_avg` and `my_decimal_div` for the scale of AVG.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from math import isfinite
from typing import Final

from wire.constants import NOT_FIXED_DECIMALS

# MySQL's decimals have at most 81 digits within a sum; this keeps any number of them exact
_CONTEXT: Final = Context(prec=200, rounding=ROUND_HALF_UP, Emax=9999, Emin=-9999)
MAX_SCALE: Final = 30
_POINT_LIMIT: Final = 15
_DIGITS_OF_SUM: Final = 22
_MAX_DECIMAL_LENGTH: Final = 67


def add_decimals(left: Decimal, right: Decimal) -> Decimal:
    return _CONTEXT.add(left, right)


def divide_decimals(total: Decimal, count: int, scale: int) -> Decimal:
    """`total / count`, rounded half away from zero to `scale` digits."""
    return _CONTEXT.quantize(_CONTEXT.divide(total, Decimal(count)), Decimal(1).scaleb(-scale))


def decimal_text(value: Decimal, scale: int) -> bytes:
    """With exactly `scale` digits after the point (31 and more: as many as the value has); never a negative zero."""
    if scale <= MAX_SCALE:
        value = _CONTEXT.quantize(value, Decimal(1).scaleb(-scale))
    if not value:
        value = value.copy_abs()
    return f"{value:f}".encode("ascii")


def double_text(value: float, decimals: int = NOT_FIXED_DECIMALS) -> bytes:
    """A double as MySQL's text protocol prints it.

    The shortest digits that round-trip; an exponent only below 1e-15, and from 1e15 on where there is no fraction;
    without plus. With `decimals` below 31 (DOUBLE(10,2)) that many digits. What is not finite is printed 0, as by
    MySQL.
    """
    if not isfinite(value):
        return b"0"
    if decimals < NOT_FIXED_DECIMALS:
        return b"%.*f" % (decimals, value)
    text = repr(value)
    mantissa, _, exponent_text = text.partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return b"-0" if sign else b"0"
    # the value is 0.DIGITS times ten to the power of `point`
    leading = len(whole + fraction) - len(digits)
    point = len(whole) + int(exponent_text or 0) - leading
    digits = digits.rstrip("0")
    if -_POINT_LIMIT < point <= _POINT_LIMIT or _POINT_LIMIT < point < len(digits):
        if point <= 0:
            body = "0." + "0" * -point + digits
        elif point >= len(digits):
            body = digits + "0" * (point - len(digits))
        else:
            body = f"{digits[:point]}.{digits[point:]}"
    else:
        body = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "") + f"e{point - 1}"
    return (sign + body).encode("ascii")


def average_scale(sum_scale: int, increment: int) -> int:
    """Digits after the point of AVG, from those of SUM of the same argument (31: a double, stays so)."""
    if sum_scale >= NOT_FIXED_DECIMALS:
        return sum_scale
    return min(sum_scale + increment, MAX_SCALE)


def average_length(sum_length: int, sum_scale: int, increment: int) -> int:
    """Display length of a decimal AVG from that of SUM, which has 22 digits more than its argument."""
    point = 0 if sum_scale else 1
    return max(min(sum_length - _DIGITS_OF_SUM + increment + point, _MAX_DECIMAL_LENGTH), increment + 2)
