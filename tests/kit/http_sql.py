"""The router's HTTP API as a client in Python: a connection for each request, since the router closes idle ones, and
the session that the last reply gave."""

import base64
import http.client
import json
from typing import Any, Final

from tests.kit.cluster import PASSWORD, USER, Cluster

PATH: Final = "/psdb.v1alpha1.Database/"


class HttpSql:
    """`execute` gives rows as text; an error raises HttpSqlError."""

    def __init__(self, cluster: Cluster, user: str = USER, password: str = PASSWORD) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", cluster.http, timeout=30)
        self._who = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.session: Any = None

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Authorization": f"Basic {self._who}"}

    def send(self, query: str) -> None:
        """Asks, and does not wait for the answer."""
        body = json.dumps({"query": query, "session": self.session})
        self._http.request("POST", f"{PATH}Execute", body, self.headers)

    def execute(self, query: str) -> list[tuple[str | None, ...]]:
        self.send(query)
        reply = self._http.getresponse()
        told = json.load(reply)
        self._http.close()
        self.session = told.get("session") or self.session
        if "error" in told:
            raise HttpSqlError(reply.status, told["error"]["code"], told["error"]["message"])
        return [_row(row) for row in told["result"].get("rows", ())]

    def close(self) -> None:
        self._http.close()


class HttpSqlError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


def _row(row: dict[str, Any]) -> tuple[str | None, ...]:
    values = base64.b64decode(row.get("values", ""))
    cells: list[str | None] = []
    at = 0
    for length in map(int, row["lengths"]):
        cells.append(None if length < 0 else values[at : at + length].decode())
        at += max(length, 0)
    return tuple(cells)
