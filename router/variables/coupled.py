"""Variables of which one changes another: other names of the same, names of a part, and side effects.

A session's settings are a set of name = value that is replayed in any order, hence they hold no two that change each
other without saying both: of other names only one is ever used (`canonical`); where a SET has an effect on others,
a server is asked what became of all of them (`roots`), and the settings hold that.

Source: the servers themselves; a test sets every variable on both and looks what else changes. The tablet's half of
this is in `tablet/pool/settings.py`.
"""

from typing import Final

_OTHER_NAMES: Final = {"max_insert_delayed_threads": "max_delayed_threads"}
_OTHER_NAMES_MARIADB: Final = {
    **_OTHER_NAMES,
    "log_slow_min_examined_row_limit": "min_examined_row_limit",
    "log_slow_query": "slow_query_log",
    "log_slow_query_time": "long_query_time",
    "old_alter_table": "alter_algorithm",
    "storage_engine": "default_storage_engine",
    "tmp_memory_table_size": "tmp_table_size",
}

_ROOTS: Final = {
    "max_join_size": ("max_join_size", "sql_big_selects"),
    "sql_big_selects": ("max_join_size", "sql_big_selects"),
    "character_set_server": ("collation_server",),
    "collation_server": ("collation_server",),
    # MariaDB: each of the others is one word of the first's list
    "log_slow_filter": ("log_slow_filter",),
    "log_queries_not_using_indexes": ("log_slow_filter",),
    "log_slow_disabled_statements": ("log_slow_disabled_statements",),
    "log_slow_admin_statements": ("log_slow_disabled_statements",),
    "log_slow_slave_statements": ("log_slow_disabled_statements",),
}


def canonical(name: str, *, mariadb: bool) -> str:
    """The one name under which a variable is kept."""
    return (_OTHER_NAMES_MARIADB if mariadb else _OTHER_NAMES).get(name, name)


def roots(name: str) -> tuple[str, ...]:
    """The variables that say all of what a SET of `name` can have changed; empty where that is `name` alone."""
    return _ROOTS.get(name, ())
