"""Query attributes at the tablet: how an execution is made, and whose answers are shared."""

from core.config import Tablet as TabletConfig
from core.rpc.messages import F_CONSOLIDATE
from tablet.backend.prepared import MAX_HEADS, OnServer
from tablet.statements.request import ATTRIBUTES
from tablet.statements.sharing import Sharing
from tablet.statements.statement import Statement
from tablet.stats import Stats
from wire.constants import CLIENT_QUERY_ATTRIBUTES, TYPE_LONG, TYPE_VAR_STRING
from wire.query_attributes import build_block
from wire.statements import build_execute, parse_execute


def test_an_execution_is_made_for_what_the_connection_speaks() -> None:
    types, values = [TYPE_LONG, TYPE_VAR_STRING, TYPE_LONG], [7, None, 300]
    params = build_execute(0, types, values, False)[5:]
    attributes = build_block([(TYPE_VAR_STRING, b"n", b"\x01x")])
    for names in (False, True):
        statement = OnServer(9, 3, names)
        for _ in range(2):
            assert statement.execute(params) == build_execute(9, types, values, names)
        for value in range(3 * MAX_HEADS):  # NULL bits and types are kept, but not all that ever were
            others = [TYPE_LONG + value, TYPE_LONG, TYPE_LONG]
            bound = build_execute(0, others, [None, value, None], False)[5:]
            assert statement.execute(bound) == build_execute(9, others, [None, value, None], names)
        assert OnServer(9, 0, names).execute(b"\0\1\0\0\0") == build_execute(9, [], [], names)
    assert OnServer(9, 3, False).execute_with(params, attributes) == build_execute(9, types, values, False)
    asked = parse_execute(
        OnServer(9, 3, True).execute_with(params, attributes), 3, caps=CLIENT_QUERY_ATTRIBUTES
    )
    assert (list(asked.types), asked.values(), asked.attributes) == (types, values, attributes)


def test_answers_are_shared_by_equal_attributes_only() -> None:
    class Sharer(Sharing):
        def _start(self, statement: Statement) -> None: ...

    sharing = Sharer(TabletConfig(), Stats(0.0))

    def joins(attributes: bytes) -> bool:
        flags = F_CONSOLIDATE | (ATTRIBUTES if attributes else 0)
        statement = Statement(sharing, None, 1, flags, "u", ("", "db", False), [], b"SELECT 1", None)  # type: ignore[arg-type]
        if attributes:
            statement.attributes = attributes
        return sharing._joins(statement)

    asked = (b"", b"a", b"b", b"", b"a", b"b", b"c")
    assert [joins(one) for one in asked] == [False, False, False, True, True, True, False]
