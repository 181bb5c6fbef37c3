"""Settings of connections: the text a router sends, and the one SET that takes a connection from A to B.

A setting text is the canonical body of a SET, `sql_mode='ANSI',time_zone='+00:00'`, names sorted; empty means what
a fresh session has after `SET NAMES utf8mb4`. Invariants:
- after the change the connection has exactly B and otherwise the server's defaults: what only A had goes back to
  DEFAULT, except the character sets, which go back to the base explicitly (DEFAULT would give the server's), and two
  for which MySQL's DEFAULT is the opposite of what a fresh session has;
- `collation_connection` comes last, since setting `character_set_connection` changes it too;
- variables of which one changes another (`_COUPLED`) are set anew together, in the text's order, which is the
  client's business to get right (`router/variables/coupled.py`): what one of them had set otherwise stays behind;
- user variables and global ones are refused: they cannot be put back.
"""

import re
from collections.abc import Iterable
from typing import Final

from core.errors import SluiceError, fail

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
"""Without an @, hence no user variable and no other scope."""
_CACHE_SIZE: Final = 1024
_CACHE: dict[str, dict[str, str]] = {"": {}}

BASE_CHARSET: Final = "utf8mb4"

_CHARSETS: Final = ("character_set_client", "character_set_connection", "character_set_results")
_COLLATION: Final = "collation_connection"

# MySQL 9.7: SET foreign_key_checks = DEFAULT turns them off, though the global value is ON. All other session variables
# of both servers are after DEFAULT as they are after login.
_NO_DEFAULT: Final = frozenset(("foreign_key_checks", "unique_checks"))

_UNKNOWN: Final = "(unknown)"
"""No value that a router sends: literals only."""

_COUPLED: Final = tuple(
    frozenset(group.split())
    for group in (
        "max_join_size sql_big_selects",
        "character_set_server collation_server",
        "max_delayed_threads max_insert_delayed_threads",
        # MariaDB's other names of the same, and names of a part
        "alter_algorithm old_alter_table",
        "default_storage_engine storage_engine",
        "log_slow_filter log_queries_not_using_indexes",
        "log_slow_disabled_statements log_slow_admin_statements log_slow_slave_statements",
        "log_slow_min_examined_row_limit min_examined_row_limit",
        "log_slow_query slow_query_log",
        "log_slow_query_time long_query_time",
        "tmp_memory_table_size tmp_table_size",
    )
)
"""A test sets every variable on both servers and looks which others change."""
_GROUP_OF: Final = {name: group for group in _COUPLED for name in group}


def coupled(name: str) -> frozenset[str]:
    """The variables that change each other, with `name` among them; empty for all others."""
    return _GROUP_OF.get(name, frozenset())


def parse(text: str) -> dict[str, str]:
    """Name to expression. Raises SluiceError 1235 or 1064 where the text cannot be a setting."""
    known = _CACHE.get(text)
    if known is None:
        known = _parse(text)
        if len(_CACHE) >= _CACHE_SIZE:
            del _CACHE[next(key for key in _CACHE if key)]
        _CACHE[text] = known
    return known


def _parse(text: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    for part in split_top_level(text, ","):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals or not _NAME.match(name) or not value.strip():
            raise _refused(part)
        settings[name] = value.strip()
    return settings


def _refused(part: str) -> SluiceError:
    return fail(
        "NOT_SUPPORTED",
        construct=f"the setting {part.strip()[:80]!r}",
        instead="Settings are session variables, name=expression.",
    )


def split_top_level(text: str, separator: str) -> list[str]:
    """`text` cut at each `separator` that stands outside quotes and parentheses.

    Quotes are '...', "..." and `...`, with a backslash or doubling inside. Raises SluiceError 1064 where a quote or
    parenthesis stays open.
    """
    parts: list[str] = []
    start = at = depth = 0
    size = len(text)
    while at < size:
        char = text[at]
        if char in "'\"`":
            at = _skip_quoted(text, at)
            continue
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == separator and depth == 0:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    if depth:
        raise fail("SYNTAX", message=f"a parenthesis does not match in {text[:80]!r}")
    parts.append(text[start:])
    return parts


def _skip_quoted(text: str, at: int) -> int:
    quote = text[at]
    at += 1
    while at < len(text):
        if text[at] == "\\" and quote != "`":
            at += 2
            continue
        if text[at] == quote:
            if text[at + 1 : at + 2] != quote:
                return at + 1
            at += 1
        at += 1
    raise fail("SYNTAX", message=f"a quote stays open in {text[:80]!r}")


def change(old: str, new: str, base_collation: str) -> tuple[str, ...]:
    """The SETs, usually one, that take a connection with settings `old` to `new`; none if nothing is to be set.

    `base_collation` is the server's own default of utf8mb4. Raises SluiceError for a text that is no setting.

    >>> change("sql_mode='ANSI'", "time_zone='+00:00'", "utf8mb4_general_ci")
    ("SET @@session.sql_mode=DEFAULT,@@session.time_zone='+00:00'",)
    """
    before = parse(old)
    after = parse(new)
    if _parses_differently(before, new):
        steps = [_set(before, {}, base_collation), _set({}, after, base_collation)]
    else:
        steps = [_set(before, after, base_collation)]
    return tuple(step for step in steps if step)


def _parses_differently(before: dict[str, str], new: str) -> bool:
    """Whether the session as it is could read the text of the SET in another way than a fresh one would."""
    if "\\" in new and "NO_BACKSLASH_ESCAPES" in before.get("sql_mode", "").upper():
        return True
    if '"' in new and "ANSI" in before.get("sql_mode", "").upper():
        return True
    return not new.isascii() and any(name in before for name in _CHARSETS)


def _set(before: dict[str, str], after: dict[str, str], base_collation: str) -> str:
    special = (*_CHARSETS, _COLLATION)
    wanted = {name: _default_of(name) for name in before if name not in after and name not in special}
    for name in _CHARSETS:
        if name in after:
            wanted[name] = after[name]
        elif name in before:
            wanted[name] = BASE_CHARSET
    wanted.update({name: value for name, value in after.items() if name != _COLLATION})
    # Setting character_set_connection sets the collation to that charset's default, hence the order; and the
    # charset back at its base is not enough where the server's base collation is not its default.
    if _COLLATION in after:
        wanted[_COLLATION] = after[_COLLATION]
    elif "character_set_connection" not in after and (
        _COLLATION in before or "character_set_connection" in before
    ):
        wanted[_COLLATION] = base_collation
    # `x=DEFAULT` in the text is not the same as no x: behind the other of a pair it undoes what that one did
    differ = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    if [name for name in before if name in _GROUP_OF] != [name for name in after if name in _GROUP_OF]:
        differ |= _GROUP_OF.keys() & after.keys()  # the same values in another order are another state
    again = {other for name in differ for other in coupled(name)}
    changed = {
        name: value
        for name, value in wanted.items()
        if before.get(name) != value or name in special or name in again
    }
    if not changed or (before == after and not again):
        return ""
    return "SET " + ",".join(f"@@session.{name}={value}" for name, value in changed.items())


def in_doubt(old: str, new: str) -> str:
    """Settings text of a connection on which `change(old, new, ...)` may have been done in part: whatever is wanted
    next, each of these variables is set."""
    return ",".join(f"{name}={_UNKNOWN}" for name in sorted({*parse(old), *parse(new)}))


def unknown(old: str, names: Iterable[str]) -> str:
    """Settings text of a connection with `old` on which these variables may have any value."""
    known = {**parse(old), **dict.fromkeys(names, _UNKNOWN)}
    return ",".join(f"{name}={known[name]}" for name in sorted(known))


def _default_of(name: str) -> str:
    return f"@@global.{name}" if name in _NO_DEFAULT else "DEFAULT"
