"""Queries whose decimals may have more digits than they show."""

import pytest

from router.engine.digits import hides_digits
from router.sql.dialect import Dialect


@pytest.mark.parametrize(
    "query",
    [
        "SELECT AVG(a) FROM t",
        "SELECT a / ? FROM t",
        "SELECT CAST(a AS DECIMAL(?,?)), avg (b) FROM t",
        "SELECT q FROM (SELECT a / b q FROM t WHERE a > ?) s",
        "SELECT a FROM t WHERE b / ? > ? UNION SELECT a / ? FROM t",
        "SELECT a FROM t IGNORE INDEX FOR GROUP BY (i) JOIN (SELECT AVG(a) FROM t) s",
        "SELECT SUM(IF(a, (SELECT b FROM s WHERE c), a / b)) FROM t",
        "SELECT ROUND(a / b, c) FROM t",
        "SELECT MAX(a) OVER (ORDER BY b), a / b FROM t",
    ],
)
def test_hidden(query: str) -> None:
    assert hides_digits(query.encode(), Dialect.DEFAULT, quotients=True)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT SUM(a) + b * ?, a DIV b, avg, `a/b` FROM t /* a/b */",
        "SELECT CAST((a / b) AS DECIMAL(?,?)), FLOOR(AVG(a)) FROM t",
        "SELECT SUM(a) FROM t WHERE a / b > (SELECT AVG(a) FROM t) GROUP BY a / b HAVING AVG(a) ORDER BY AVG(b)",
    ],
)
def test_shown(query: str) -> None:
    assert not hides_digits(query.encode(), Dialect.DEFAULT, quotients=True)


def test_quotients_may_be_as_shown() -> None:
    assert not hides_digits(b"SELECT a / b FROM t", Dialect.DEFAULT, quotients=False)
