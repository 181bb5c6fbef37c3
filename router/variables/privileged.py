"""Session variables that MySQL and MariaDB let privileged accounts set only, and how each words the refusal.

Tablets log in with all rights, so the server would not refuse: the router does, to every user without the role admin
in every keyspace. Source: the servers themselves, asked as a user without privileges; a test asks them again.
"""

from typing import Final

_SESSION_ADMIN: Final = "SYSTEM_VARIABLES_ADMIN or SESSION_VARIABLES_ADMIN"
_SUPER: Final = f"SUPER, {_SESSION_ADMIN}"

_MYSQL: Final = {
    "default_table_encryption": "SUPER or SYSTEM_VARIABLES_ADMIN and TABLE_ENCRYPTION_ADMIN",
    "innodb_tmpdir": "FILE",
    **dict.fromkeys(
        (
            "binlog_direct_non_transactional_updates",
            "binlog_format",
            "binlog_row_image",
            "binlog_row_value_options",
            "binlog_rows_query_log_events",
            "binlog_transaction_compression",
            "binlog_transaction_compression_level_zstd",
            "bulk_insert_buffer_size",
            "character_set_database",
            "character_set_filesystem",
            "connection_memory_chunk_size",
            "connection_memory_limit",
            "global_connection_memory_tracking",
            "histogram_generation_max_mem_size",
            "pseudo_thread_id",
            "sql_generate_invisible_primary_key",
            "sql_log_bin",
            "sql_log_off",
            "sql_require_primary_key",
            "xa_detach_on_prepare",
        ),
        _SUPER,
    ),
    **dict.fromkeys(
        (
            "gtid_next",
            "immediate_server_version",
            "original_commit_timestamp",
            "original_server_version",
            "pseudo_replica_mode",
            "pseudo_slave_mode",
        ),
        "SUPER, SYSTEM_VARIABLES_ADMIN, SESSION_VARIABLES_ADMIN or REPLICATION_APPLIER",
    ),
    **dict.fromkeys(
        (
            "innodb_strict_mode",
            "internal_tmp_mem_storage_engine",
            "low_priority_updates",
            "max_delayed_threads",
            "max_error_count",
            "max_insert_delayed_threads",
            "min_examined_row_limit",
            "preload_buffer_size",
            "select_into_buffer_size",
            "select_into_disk_sync_delay",
        ),
        _SESSION_ADMIN,
    ),
}

_MARIADB: Final = {
    "innodb_tmpdir": "FILE",
    **dict.fromkeys(
        ("enforce_storage_engine", "log_disabled_statements", "sql_log_off", "wsrep_on"), "SUPER"
    ),
    **dict.fromkeys(
        (
            "binlog_annotate_row_events",
            "binlog_direct_non_transactional_updates",
            "binlog_format",
            "binlog_row_image",
            "sql_log_bin",
        ),
        "SUPER, BINLOG ADMIN",
    ),
    **dict.fromkeys(
        ("gtid_domain_id", "gtid_seq_no", "pseudo_thread_id", "server_id"), "SUPER, BINLOG REPLAY"
    ),
}


MAY_STAY: Final = frozenset(("default_table_encryption",))
"""Anybody may set these to the server's default."""


def privilege_to_set(name: str, *, mariadb: bool) -> str:
    """The privileges of which a user needs one to SET SESSION `name`, as error 1227 lists them; empty for none."""
    return (_MARIADB if mariadb else _MYSQL).get(name, "")


def privileged(*, mariadb: bool) -> dict[str, str]:
    """All of them, with their privileges."""
    return dict(_MARIADB if mariadb else _MYSQL)
