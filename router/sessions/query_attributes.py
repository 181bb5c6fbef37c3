"""Query attributes of the statement under way: from its command to every tablet that runs it, or a part of it.

Invariants: they hold for one command of the client, all statements of it (`Connection.done` forgets them), and go to
each shard that these statements reach; they change nothing of how a statement is planned. They are offered to clients
where the MySQL behind has them; a shard whose server has not runs the statement without.
"""

import re
from typing import TYPE_CHECKING, Any, Final

from router.sessions.transcoding import transcode
from wire.constants import CLIENT_QUERY_ATTRIBUTES
from wire.query_attributes import converted

if TYPE_CHECKING:
    from router.sessions.session import Session

_SINCE: Final = (8, 0, 23)
"""The first MySQL with CLIENT_QUERY_ATTRIBUTES."""


def offered_by(server_version: str) -> int:
    """CLIENT_QUERY_ATTRIBUTES where a server of that version has it, else 0: no MariaDB has."""
    if "mariadb" in server_version.lower():
        return 0
    numbers = tuple(int(part) for part in re.findall(r"\d+", server_version)[:3])
    return CLIENT_QUERY_ATTRIBUTES if numbers >= _SINCE else 0


def take(session: "Session", block: bytes) -> None:
    """The client's command came with these. Raises SYNTAX where they are not text of the client's character set."""
    codec = session.codec
    session.attributes = block if codec is None else converted(block, lambda text: transcode(text, codec))


def along(session: "Session", extra: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """`extra` of a request that runs the client's statement, or a part of it."""
    if not session.attributes:
        return extra
    return {**(extra or {}), "attributes": session.attributes}
