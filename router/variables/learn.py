"""What a server's variables and collations are: asked once for each tablet a worker meets.

Until the answer is there, and where it fails, nothing is known of defaults: every SET is checked on a server and every
read goes to one. An operator's SET GLOBAL is seen when the tablet is met again.
"""

from typing import TYPE_CHECKING, Any

from core.errors import SluiceError
from router.gateway import Link
from router.statements.result import rows_of
from wire.errors import WireError

if TYPE_CHECKING:
    from router.worker import Worker


async def learn(worker: "Worker", link: Link) -> None:
    """Fills `link.server["variables"]` (name -> text) and `["collations"]` (id -> (name, character set))."""
    server: dict[str, Any] = link.server
    worker.verified.clear()
    try:
        variables = await worker.calls.execute(link, b"SHOW SESSION VARIABLES")
        collations = await worker.calls.execute(link, b"SHOW COLLATION")
        if variables.failed or collations.failed:
            return
        server["variables"] = {_text(row[0]).lower(): _text(row[1]) for row in rows_of(variables).rows}
        server["collations"] = {
            int(row[2]): (_text(row[0]), _text(row[1])) for row in rows_of(collations).rows if row[2]
        }
    except (SluiceError, WireError) as error:
        worker.log.info("variables of %s/%s are not known: %s", link.keyspace, link.shard, error)


def _text(cell: bytes | None) -> str:
    return (cell or b"").decode("utf-8", "replace")
