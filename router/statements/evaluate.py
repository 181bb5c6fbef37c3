"""Values of expressions in SET and EXECUTE: here where they are constants or session state, else by a server."""

from typing import Final

from core.errors import SluiceError, fail, not_supported
from router.execute.reserve import PINS, pinned
from router.plan.purity import may_write, reserve_reason
from router.plan.substitute import FUNCTIONS
from router.sessions.query_attributes import along
from router.sessions.session import Session
from router.sessions.where import any_link
from router.sql.literals import literal_value
from router.statements.assignments import constant_literal
from router.statements.local import value_of_spot
from router.statements.passing import keyspace_view, one_shard
from router.statements.result import checked, rows_of
from router.statements.words import BIND, VARIABLE, WORD, Words
from router.variables.literals import cell_literal, text_literal, value_literal
from router.variables.reading import client_charset

_READS_TABLES: Final = frozenset(("FROM", "TABLE"))
_BITS: Final = frozenset((b"x'", b"X'", b"0x", b"b'", b"B'", b"0b"))


def constant(session: Session, words: Words, start: int, end: int, *, system: bool) -> bytes | None:
    """The literal of an expression that needs no server: a literal, or one variable; None for all others.

    `system`: for a system variable, where a bare word is a string.
    """
    literal = constant_literal(words, start, end, bare_words=system)
    if literal is not None:
        if literal[:1] == b"_" and (b"\\" in literal or b'"' in literal or not literal.isascii()):
            return None  # what it means depends on sql_mode and character set
        if not system and literal[:2] in _BITS:
            # a number where it is written, a string of bytes in a variable
            return value_literal(literal_value(literal))
        return stored(session, words, literal)
    if end - start == 1 and words.lexemes[start].kind is VARIABLE:
        text = words.lexemes[start].text
        found = _state(session, text)
        return None if found.startswith(b"@@") else found
    return None


def stored(session: Session, words: Words, literal: bytes) -> bytes:
    """A literal of the client's text in the form that means the same later and anywhere."""
    if literal[:1] in (b"'", b'"') or literal[:2] in (b"n'", b"N'"):
        plain = literal[1:] if literal[:1] in b"nN" else literal
        value = _string(words, plain)
        return text_literal(value, client_charset(session))
    return literal


def _string(words: Words, literal: bytes) -> bytes:
    """The bytes between the quotes; `_binary` makes the reader leave them as bytes."""
    value = literal_value(b"_binary " + literal, dialect=words.dialect)
    assert isinstance(value, bytes)
    return value


def _state(session: Session, text: str) -> bytes:
    if text.startswith("@@"):
        return value_of_spot(session, ("variable", text[2:].replace("`", "")))
    name = text[1:]
    if name[:1] in ("'", '"', "`") and name[-1:] == name[:1] and len(name) > 1:
        name = name[1:-1].replace(name[:1] * 2, name[:1])
    return value_of_spot(session, ("user_variable", name.lower()))


def substituted(session: Session, words: Words, start: int, end: int) -> bytes:
    """The text of lexemes `start` to before `end` with session state as literals. Raises 1235 for `@x := ...`."""
    pieces: list[bytes] = []
    lexemes = words.lexemes
    text = words.text
    at = lexemes[start].start
    index = start
    while index < end:
        one = lexemes[index]
        new: bytes | None = None
        stop = one.end
        if one.kind is BIND:
            new = words.literals[one.bind]
        elif one.kind is VARIABLE:
            if index + 1 < end and lexemes[index + 1].text == ":=":
                raise not_supported(
                    f"{one.text} := ... inside an expression", f"Use SET {one.text} = ... alone."
                )
            new = _state(session, one.text)
        elif (
            one.kind is WORD
            and one.text in FUNCTIONS
            and [x.text for x in lexemes[index + 1 : index + 3]] == ["(", ")"]
        ):
            new = value_of_spot(session, ("function", FUNCTIONS[one.text]))
            stop = lexemes[index + 2].end
            index += 2
        if new is not None:
            pieces += (text[at : one.start].encode("utf-8", "surrogateescape"), new)
            at = stop
        index += 1
    pieces.append(text[at : lexemes[end - 1].end].encode("utf-8", "surrogateescape"))
    return b"".join(pieces)


async def computed(session: Session, words: Words, start: int, end: int, *, system: bool) -> bytes:
    """The value of any other expression as a literal, computed by a server. Raises SluiceError.

    It runs as a statement of the session, in its transaction. Subqueries work where the session works on one shard.
    """
    del system
    lexemes = words.lexemes[start:end]
    if [one.text for one in lexemes[:2]] == ["LAST_INSERT_ID", "("] and len(lexemes) == 4:
        literal = words.literals[lexemes[2].bind] if lexemes[2].kind is BIND else b""
        if literal.isdigit() and int(literal) < 2**64:
            session.last_insert_id = int(literal)
            return literal
    reason = reserve_reason(lexemes)
    if reason and reason not in PINS:
        raise not_supported(f"{reason} inside SET", "Run it in a SELECT.")
    link = one_shard(session, f"SET with {reason}") if reason else any_link(session)
    if any(one.kind is WORD and one.text in _READS_TABLES for one in lexemes):
        keyspace = keyspace_view(session, "a subquery in SET")
        if len(keyspace.links) > 1 and not session.shard:
            raise not_supported(
                f"a subquery in SET on the sharded keyspace {keyspace.name}",
                "Run the SELECT on its own and set the value it gives.",
            )
        reads = True
    else:
        reads = False
    sql = b"SELECT " + substituted(session, words, start, end)
    results = (session.settings or {}).get("character_set_results")
    calls = session.worker.calls
    try:
        if results is not None:
            session.set_setting("character_set_results", None)
        if reason:
            answer = await pinned(session, link, sql, 0, ())
        elif (
            reads
            or may_write(lexemes)
            or (session.tx is not None and link in session.tx.held)
            or (session.reserved is not None and link in session.reserved)
        ):
            answer = await calls.in_session(session, link, sql, tables=())
        else:
            extra = along(session)
            answer = await calls.execute(
                link, sql, user=session.user, settings=session.settings_text, extra=extra
            )
    finally:
        if results is not None:
            session.set_setting("character_set_results", results)
    rows = rows_of(checked(answer))
    if len(rows.rows) != 1 or len(rows.rows[0]) != 1:
        raise _not_one_value()
    return cell_literal(rows.columns[0], rows.rows[0][0])


def _not_one_value() -> SluiceError:
    return fail("SYNTAX", message="Operand should contain 1 column and 1 row")


__all__ = ["computed", "constant", "stored", "substituted"]
