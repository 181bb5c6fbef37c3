"""What a parked session keeps: everything that outlives a statement, and that it says so."""

from router.connection import Connection
from router.parked import More, Parked, Profile, ProfileValues
from router.session import Session

TRANSIENT = {
    # of the running statement
    "binary", "implicit", "link", "owed_bytes", "request", "resend", "rules", "sent_bytes", "several", "source",
    "statement", "task",
    # sessions that have one of these are not parked
    "next_transaction", "reserved", "statements", "tx",
    # made anew
    "connection", "worker",
}  # fmt: skip
PACKED = {"affected_rows", "found_rows", "last_insert_id", "started_s"}


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
