"""Text of client character sets that cannot be read as ASCII, in UTF-8."""

from core.errors import fail


def transcode(text: bytes, codec: str) -> bytes:
    """Text of a statement, or that goes along with one, in UTF-8. `codec` is Python's name. Raises SYNTAX."""
    try:
        return text.decode(codec).encode()
    except UnicodeDecodeError as error:
        raise fail(
            "SYNTAX", message=f"the statement is not valid {codec} text at byte {error.start}"
        ) from None
