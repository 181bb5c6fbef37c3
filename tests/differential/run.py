"""Runs the corpus on both sides.

Invariant: after each case both sides hold the seed rows again.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import pymysql

from tests.differential.compare import EQUAL, REFUSED, WRONG, Answer, Verdict, ask, judge
from tests.differential.place import CORPUS, Sides

Case = dict[str, Any]
Pair = tuple["pymysql.Connection[Any]", "pymysql.Connection[Any]"]

_BROKEN: Final = 2013
_LOCKED: Final = 1205
_UNKNOWN_TABLE: Final = 1146
_VIEW: Final = re.compile(r"\s*(?:CREATE|ALTER)\s+(?:OR\s+REPLACE\s+)?VIEW\s+`?(\w+)", re.IGNORECASE)


def planner_cases() -> list[Case]:
    return _lines(CORPUS / "planner" / "open.jsonl")


def scripts() -> list[Case]:
    return [one for file in sorted(CORPUS.glob("e2e/*/open.jsonl")) for one in _lines(file)]


def _lines(file: Any) -> list[Case]:
    return [json.loads(line) for line in file.read_text().splitlines()]


class Runner:
    """Runs cases; keeps one pair of connections a keyspace for what only reads."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides
        self._kept: dict[str, Pair] = {}

    def all(self, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[tuple[str, str, Verdict]]:
        """(id, statement, verdict) of every case, and of every step of a script as `SCRIPT#N`."""
        for case in planner_cases():
            if wanted(case["id"]):
                yield case["id"], case["query"], self.case(case)
        for script in scripts():
            if wanted(script["id"]):
                yield from self.script(script)
        self.close()

    def close(self) -> None:
        for pair in self._kept.values():
            _close(pair)
        self._kept.clear()

    def case(self, case: Case) -> Verdict:
        reads = case["kind"] in ("select", "show") and not case.get("fresh") and not case.get("setup")
        keyspace = case["default_keyspace"]
        if reads:
            pair = self._kept.get(keyspace) or self._open(keyspace)
            self._kept[keyspace] = pair
            verdict, broken = self._read(pair, case)
            if broken:
                _close(self._kept.pop(keyspace))
            return verdict
        pair = self._open(keyspace)
        try:
            return self._dml(pair, case) if case["kind"] == "dml" else self._other(pair, case)
        finally:
            _close(pair)
            if case.get("reset"):
                self._sides.reset(case["reset"])

    def script(self, script: Case) -> Iterator[tuple[str, str, Verdict]]:
        keyspace = script["default_keyspace"]
        for name in self._sides.places:
            if name == keyspace or name == f"{keyspace}_u":
                self._sides.clear(name)
        pair = self._open(keyspace)
        lost = ""  # why the rest of the script cannot be compared
        refused = False
        views: set[str] = set()  # those whose making was refused
        try:
            for step in script["steps"]:
                if lost:
                    yield f"{script['id']}#{step['n']}", step["query"], Verdict(REFUSED, lost)
                    continue
                one, other = _both(pair, step["query"])
                verdict = judge(one, other, step)
                made = _VIEW.match(step["query"])
                if verdict.kind == REFUSED and made:
                    views.add(made[1].lower())
                if other.error == _UNKNOWN_TABLE and any(
                    re.search(rf"\b{view}\b", step["query"], re.IGNORECASE) for view in views
                ):
                    verdict = Verdict(REFUSED, "the view before it was refused")
                if verdict.kind == WRONG and refused and "last_insert_id" in step["query"].lower():
                    verdict = Verdict(REFUSED, "the write before it was refused")
                if verdict.kind == REFUSED and not one.error:
                    refused = True
                    lost = "" if one.columns else self._copy_all(keyspace)
                if step.get("compare") != "none" or verdict.kind == WRONG:
                    yield f"{script['id']}#{step['n']}", step["query"], verdict
                if other.error == _BROKEN:
                    return
        finally:
            _close(pair)

    def _copy_all(self, keyspace: str) -> str:
        """Puts what could not be written there, for the steps that read it; why not, where rows are locked."""
        try:
            for table in self._sides.tables(keyspace):
                self._sides.copy(keyspace, table)
        except pymysql.err.OperationalError as error:
            if error.args[0] != _LOCKED:
                raise
            return "a refused write inside a transaction"
        return ""

    def _open(self, keyspace: str) -> Pair:
        return self._sides.plain(keyspace), self._sides.sharded(keyspace)

    def _read(self, pair: Pair, case: Case) -> tuple[Verdict, bool]:
        one, other = (ask(cnx, case["query"]) for cnx in pair)

        def ties(at: int, value: str, another: str) -> bool:
            """As the plain server's own column says."""
            column = f"`{one.columns[at]}`"
            counted = ask(
                pair[0],
                f"SELECT COUNT(DISTINCT {column}) FROM ({case['query']}) answers "
                f"WHERE {column} IN ({pair[0].escape(value)}, {pair[0].escape(another)})",
            )
            return counted.rows == (("1",),)

        return judge(one, other, case, ties), _BROKEN in (one.error, other.error)

    def _dml(self, pair: Pair, case: Case) -> Verdict:
        for sql in case.get("setup", ()):
            _both(pair, sql)
        _both(pair, "START TRANSACTION")
        try:
            one, other = _both(pair, case["query"])
            verdict = judge(one, other, {**case, "compare": case.get("compare", "rows")})
            if verdict.kind != EQUAL or case.get("compare") == "status":
                return verdict
            for name in case.get("check_tables", ()):
                verdict = self._check_table(pair, name, case)
                if verdict.kind != EQUAL:
                    return verdict
            return self._checks(pair, case)
        finally:
            _both(pair, "ROLLBACK")
            for sql in case.get("cleanup", ()):
                _both(pair, sql)

    def _check_table(self, pair: Pair, name: str, case: Case) -> Verdict:
        keyspace, _, table = name.partition(".")
        masked = {column.lower() for column in case.get("mask", {}).get(name, ())}
        found = _both(pair, f"SELECT * FROM `{keyspace}`.`{table}`")
        one, other = (_without(answer, masked) for answer in found)
        rules = {"deterministic": case.get("deterministic", True)}
        verdict = judge(one, other, rules)
        return replace(verdict, reason=f"{name}: {verdict.reason}") if verdict.kind != EQUAL else verdict

    def _other(self, pair: Pair, case: Case) -> Verdict:
        for sql in case.get("setup", ()):
            _both(pair, sql)
        try:
            one, other = _both(pair, case["query"])
            verdict = judge(one, other, case)
            return verdict if verdict.kind != EQUAL else self._checks(pair, case)
        finally:
            for sql in case.get("cleanup", ()):
                _both(pair, sql)

    def _checks(self, pair: Pair, case: Case) -> Verdict:
        for sql in case.get("check", ()):
            one, other = _both(pair, sql)
            verdict = judge(one, other, {"query": sql, "deterministic": case.get("deterministic", True)})
            if verdict.kind != EQUAL:
                return replace(verdict, reason=f"check {sql}: {verdict.reason}")
        return Verdict(EQUAL)


def _both(pair: Pair, sql: str) -> tuple[Answer, Answer]:
    return ask(pair[0], sql), ask(pair[1], sql)


def _without(answer: Answer, masked: set[str]) -> Answer:
    if not masked:
        return answer
    kept = [at for at, column in enumerate(answer.columns) if column.lower() not in masked]
    return replace(
        answer,
        columns=tuple(answer.columns[at] for at in kept),
        rows=tuple(tuple(row[at] for at in kept) for row in answer.rows),
        real=frozenset(n for n, at in enumerate(kept) if at in answer.real),
    )


def _close(pair: Pair) -> None:
    for cnx in pair:
        if cnx.open:
            cnx._force_close()  # type: ignore[attr-defined]
