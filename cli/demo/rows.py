"""The demo's sample rows, sent through the router so that vindexes place them.

Idempotent: rows whose ids are there already are left as they are.
"""

import time
from typing import Any, Final

from cli.errors import CommandError
from core.config import Config, parse_address

CUSTOMERS: Final = (
    (1, "Ada Lovelace", "ada@example.com", "GB"),
    (2, "Alan Turing", "alan@example.com", "GB"),
    (3, "Grace Hopper", "grace@example.com", "US"),
    (4, "Edsger Dijkstra", "edsger@example.com", "NL"),
    (5, "Barbara Liskov", "barbara@example.com", "US"),
    (6, "Konrad Zuse", "konrad@example.com", "DE"),
    (7, "Radia Perlman", "radia@example.com", "US"),
    (8, "Hedy Lamarr", "hedy@example.com", "AT"),
    (9, "Niklaus Wirth", "niklaus@example.com", "CH"),
    (10, "Shafi Goldwasser", "shafi@example.com", "IL"),
)

_PRODUCTS: Final = (
    ("SKU-LAMP", "39.90"),
    ("SKU-CHAIR", "189.00"),
    ("SKU-DESK", "449.00"),
    ("SKU-MUG", "8.50"),
    ("SKU-PEN", "24.00"),
)

ORDERS: Final = tuple(
    (
        order,
        1 + (order * 7) % len(CUSTOMERS),
        *_PRODUCTS[order % len(_PRODUCTS)],
        1 + order % 3,
        f"2026-01-{1 + order % 28:02d} 09:{order % 60:02d}:00",
    )
    for order in range(1, 31)
)
"""order_id, customer_id, sku, price, quantity, ordered_at."""

_RETRY_S: Final = 15.0


def load(config: Config) -> str:
    """Inserts what is missing; returns what was done. Raises CommandError."""
    import mysql.connector

    deadline_s = time.monotonic() + _RETRY_S
    while True:
        try:
            return _load(config)
        except (mysql.connector.Error, OSError) as error:
            # The router serves, but its workers may have heard of the last tablet only just now.
            if time.monotonic() > deadline_s:
                raise CommandError(
                    f"the sample rows could not be loaded: {getattr(error, 'msg', None) or error}"
                ) from None
            time.sleep(0.3)


def _load(config: Config) -> str:
    import mysql.connector

    host, port = parse_address(config.router.mysql, "[router] mysql")
    user = config.users[0]
    cnx = mysql.connector.connect(
        host=host,
        port=port,
        user=user.name,
        password=user.password or "",
        database=user.default_keyspace,
        use_pure=True,
        autocommit=True,
        charset="utf8mb4",
        collation="utf8mb4_general_ci",  # known to both flavours
        connection_timeout=5,
    )
    try:
        customers = _missing(cnx, "SELECT customer_id FROM customer", CUSTOMERS)
        for row in customers:
            _run(cnx, "INSERT INTO customer (customer_id, name, email, country) VALUES (%s, %s, %s, %s)", row)
        orders = _missing(cnx, "SELECT order_id FROM orders", ORDERS)
        for row in orders:
            _run(
                cnx,
                "INSERT INTO orders (order_id, customer_id, sku, price, quantity, ordered_at)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                row,
            )
    finally:
        cnx.close()
    return f"{len(customers)} customers, {len(orders)} orders"


def _missing(cnx: Any, query: str, rows: tuple[tuple[Any, ...], ...]) -> list[tuple[Any, ...]]:
    cursor = cnx.cursor()
    cursor.execute(query)
    known = {row[0] for row in cursor.fetchall()}
    cursor.close()
    return [row for row in rows if row[0] not in known]


def _run(cnx: Any, statement: str, row: tuple[Any, ...]) -> None:
    cursor = cnx.cursor()
    cursor.execute(statement, row)
    cursor.close()
