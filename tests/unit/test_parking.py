"""What a parked session keeps: everything that outlives a statement, and that it says so."""

import marshal

from router.clients.connection import Connection
from router.clients.parked import More, Parked, Profile, ProfileValues
from router.sessions.prepared import PreparedStatement
from router.sessions.session import Session
from router.sql.dialect import Dialect

TRANSIENT = {
    # of the running statement
    "attributes", "binary", "implicit", "link", "owed_bytes", "request", "resend", "rules", "sent_bytes", "several",
    "source", "statement", "task",
    # sessions that have one of these are not parked
    "next_transaction", "reserved", "tx",
    # made anew
    "connection", "tracker", "worker",
}  # fmt: skip
PACKED = {"affected_rows", "found_rows", "last_insert_id", "pid", "started_s"}


def test_every_slot_of_a_session_is_kept_or_known_to_be_transient() -> None:
    kept = {*Profile.__slots__, *Parked.__slots__, *More._fields} | PACKED
    assert set(Session.__slots__) - TRANSIENT <= kept


def test_profile_values_are_the_profile() -> None:
    assert set(ProfileValues._fields) == set(Profile.__slots__) - {"__weakref__", "parking"}


def test_every_slot_of_a_connection_is_kept_or_known_to_be_transient() -> None:
    transient = {
        "_compression", "_reader", "_reading_paused", "_renumbered", "entrance", "file", "session", "state",
        "tls", "transport", "worker", "write", "write_paused",
    }  # fmt: skip
    kept = {*Profile.__slots__, *Parked.__slots__, "nonce"}
    assert set(Connection.__slots__) - transient <= kept


def test_a_prepared_statement_goes_to_another_process() -> None:
    one = PreparedStatement(3, b"SELECT ?, 'a' FROM t WHERE id = ?", ("ks", "-80", "ks:-80"), Dialect.DEFAULT)
    one.types_raw = b"\x03\0\xfd\0"
    more = More(None, {"a": b"1"}, None, 3, {3: one})
    found = More.from_plain(marshal.loads(marshal.dumps(more.to_plain())))
    assert found[:-1] == more[:-1]
    assert found.statements is not None
    other = found.statements[3]
    same = ("id", "text", "home", "dialect", "key", "literals", "parameter_count", "types_raw")
    assert [getattr(other, name) for name in same] == [getattr(one, name) for name in same]
    assert one.settled
    one.long_data = {0: b"x"}
    assert not one.settled
    assert More.from_plain(More(None, None, None, 2, None).to_plain()) == More(None, None, None, 2, None)
