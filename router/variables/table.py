"""What a session may do with each system variable of MySQL 9.7 and MariaDB 10.11.

    class      SET SESSION                                               reading @@x
    ROUTER     kept in the router, which acts by it                      from the router
    SETTING    part of the session's settings, checked on a tablet       from the settings, else the server's default
    IGNORED    kept to be read back, with warning 1235 saying why        what was set, else the server's default
    RESERVE    on a connection that the session keeps from then on       from that connection, else the default
    REFUSED    error 1235 or 1238 with the reason                        the server's default

Invariants: every variable that MySQL or MariaDB lets a session set stands here (a test asks both servers). What does
not stand here is a SETTING: the tablet's server is asked and its error (1193 unknown, 1229 global only, 1238 read
only) is the client's. A value equal to the server's default is accepted for every class but ROUTER without effect,
unless the session keeps a connection for it.
`docs/variables.md` is generated from this table: `python -m router.variables`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

WAIT_TIMEOUT: Final = "wait_timeout"


class Class(Enum):
    """What the router does with a SET of the variable."""

    ROUTER = "router"
    SETTING = "setting"
    IGNORED = "ignored"
    RESERVE = "reserve"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rule:
    """`reason` is for people: why it is kept, ignored or refused, and what to do instead; empty for a SETTING."""

    kind: Class
    reason: str = ""
    read_only: bool = False
    """Refused with MySQL's own 1238."""


SETTING: Final = Rule(Class.SETTING)

_REPLICATION: Final = "It changes what is written to the binary log or how replication reads it."
_CONNECTION: Final = "It is about the connection between client and server, which here is the router's."
_ONE_CONNECTION: Final = "What it collects stays on one connection to MySQL."
_PRIVILEGED: Final = "It needs rights on the server that belong to the cluster's operator."
_GALERA: Final = "It changes how the server replicates."
_XA: Final = "A branch that is prepared belongs to no connection, so that any session can end it."

_ROUTER: Final = {
    "autocommit": "The router opens and ends transactions.",
    "completion_type": "The router ends transactions.",
    "transaction_mode": "Sluice's own: `single` or `multi` shards in a transaction.",
    "transaction_isolation": "SESSION is a setting; without SESSION, the next transaction's.",
    "transaction_read_only": "SESSION is a setting; without SESSION, the next transaction's.",
    "tx_isolation": "MariaDB's name of transaction_isolation.",
    "tx_read_only": "MariaDB's name of transaction_read_only.",
    "last_insert_id": "The router knows each session's last id.",
    "identity": "Another name of last_insert_id.",
    "character_set_client": "A setting; character sets with ASCII trail bytes are converted in the router.",
    "character_set_connection": "A setting, by collation_connection.",
    "character_set_results": "A setting.",
    "collation_connection": "A setting.",
    "session_track_schema": "The router tells a client that tracks its session of each USE.",
    "session_track_state_change": "The router tells of changed variables, database, PREPARE and temporary tables.",
    "session_track_gtids": "A setting; what several shards have committed in one statement is not told.",
    "session_track_transaction_info": "A setting; the router tells what it and the servers know of the transaction.",
    "session_track_system_variables": "The router tells of the listed variables that a SET names.",
    "wait_timeout": "The router closes a session that has set it; one that has not may be idle for ever.",
    "sql_mode": "A setting; ANSI_QUOTES and NO_BACKSLASH_ESCAPES also change how the router reads statements.",
    "sql_select_limit": "A setting; results merged from several shards are cut by the router.",
}

_IGNORED: Final = {
    **dict.fromkeys(("net_read_timeout", "net_write_timeout", "net_retry_count", "tcp_nodelay"), _CONNECTION),
    "interactive_timeout": "Set in a session it has no effect on a MySQL either; wait_timeout has.",
    "progress_report_time": _CONNECTION,
    "thread_pool_priority": "The tablet's pool decides who is served first.",
}

_RESERVE: Final = {
    **dict.fromkeys(("profiling", "profiling_history_size"), _ONE_CONNECTION),
    **dict.fromkeys(
        (
            "optimizer_trace",
            "optimizer_trace_features",
            "optimizer_trace_limit",
            "optimizer_trace_max_mem_size",
            "optimizer_trace_offset",
        ),
        _ONE_CONNECTION,
    ),
    **dict.fromkeys(("rand_seed1", "rand_seed2"), "It decides on what RAND() gives from then on."),
    "insert_id": "It holds for the next INSERT of one connection only, and until then.",
    **dict.fromkeys(
        (
            "binlog_alter_two_phase",
            "binlog_annotate_row_events",
            "binlog_direct_non_transactional_updates",
            "binlog_format",
            "binlog_row_image",
            "binlog_row_value_options",
            "binlog_rows_query_log_events",
            "binlog_transaction_compression",
            "binlog_transaction_compression_level_zstd",
            "gtid_domain_id",
            "gtid_next",
            "gtid_seq_no",
            "immediate_server_version",
            "original_commit_timestamp",
            "original_server_version",
            "pseudo_replica_mode",
            "pseudo_slave_mode",
            "rbr_exec_mode",
            "require_row_format",
            "server_id",
            "skip_parallel_replication",
            "skip_replication",
            "sql_log_bin",
        ),
        _REPLICATION,
    ),
    "pseudo_thread_id": "Names temporary tables in the binary log. CONNECTION_ID() stays the router's.",
    "sql_log_off": _PRIVILEGED,
    **dict.fromkeys(
        ("character_set_database", "collation_database"),
        "It follows the default database; LOAD DATA without CHARACTER SET goes by it.",
    ),
}

_REFUSED: Final = {
    **dict.fromkeys(
        (
            "default_master_connection",
            "max_relay_log_size",
            "sql_slave_skip_counter",
            "group_replication_consistency",
        ),
        _REPLICATION,
    ),
    **dict.fromkeys(
        (
            "wsrep_causal_reads",
            "wsrep_dirty_reads",
            "wsrep_gtid_seq_no",
            "wsrep_on",
            "wsrep_osu_method",
            "wsrep_retry_autocommit",
            "wsrep_sync_wait",
            "wsrep_trx_fragment_size",
            "wsrep_trx_fragment_unit",
        ),
        _GALERA,
    ),
    **dict.fromkeys(
        (
            "connection_memory_chunk_size",
            "connection_memory_limit",
            "global_connection_memory_tracking",
            "innodb_tmpdir",
            "log_disabled_statements",
            "max_session_mem_used",
        ),
        _PRIVILEGED,
    ),
    "resultset_metadata": "Results without metadata cannot be merged.",
    "sql_auto_is_null": "`WHERE id IS NULL` would find a row that another session inserted; use LAST_INSERT_ID().",
    "xa_detach_on_prepare": _XA,
    "old": "It changes how the server answers in ways that the router does not follow.",
}

_READ_ONLY: Final = (
    "error_count",
    "external_user",
    "hostname",
    "in_transaction",
    "last_gtid",
    "max_allowed_packet",
    "max_user_connections",
    "net_buffer_length",
    "port",
    "proxy_user",
    "socket",
    "statement_id",
    "version",
    "version_comment",
    "warning_count",
)

_SETTINGS: Final = """
alter_algorithm analyze_max_length analyze_sample_percentage aria_repair_threads aria_sort_buffer_size
aria_stats_method auto_increment_increment auto_increment_offset big_tables block_encryption_mode
bulk_insert_buffer_size character_set_filesystem character_set_server check_constraint_checks collation_server
column_compression_threshold column_compression_zlib_level column_compression_zlib_strategy
column_compression_zlib_wrap cte_max_recursion_depth deadlock_search_depth_long deadlock_search_depth_short
deadlock_timeout_long deadlock_timeout_short default_collation_for_utf8mb4 default_regex_flags
default_storage_engine default_table_encryption default_tmp_storage_engine default_week_format
div_precision_increment enable_cascade_triggers enable_secondary_engine_statistics end_markers_in_json
enforce_storage_engine eq_range_index_dive_limit expensive_subquery_limit explain_format
explain_json_format_version explicit_defaults_for_timestamp external_table_secondary_storage_engine
external_table_storage_engine foreign_key_checks generated_random_password_length group_concat_max_len
histogram_generation_max_mem_size histogram_size histogram_type idle_readonly_transaction_timeout
idle_transaction_timeout idle_write_transaction_timeout in_predicate_conversion_threshold
information_schema_stats_expiry innodb_compression_default innodb_ddl_buffer_size innodb_ddl_threads
innodb_default_encryption_key_id innodb_ft_enable_stopword innodb_ft_user_stopword_table innodb_lock_wait_timeout
innodb_parallel_read_threads innodb_snapshot_isolation innodb_strict_mode innodb_table_locks
internal_tmp_mem_storage_engine join_buffer_size join_buffer_space_limit join_cache_level keep_files_on_create
lc_messages lc_time_names lock_wait_timeout log_queries_not_using_indexes log_slow_admin_statements
log_slow_disabled_statements log_slow_filter log_slow_max_warnings log_slow_min_examined_row_limit log_slow_query
log_slow_query_time log_slow_rate_limit log_slow_slave_statements log_slow_verbosity log_warnings long_query_time
low_priority_updates max_delayed_threads max_error_count max_execution_time max_heap_table_size
max_insert_delayed_threads max_join_size max_length_for_sort_data max_points_in_geometry max_recursive_iterations
max_rowid_filter_size max_seeks_for_key max_sort_length max_sp_recursion_depth max_statement_time max_tmp_tables
min_examined_row_limit mrr_buffer_size myisam_repair_threads myisam_sort_buffer_size myisam_stats_method
note_verbosity old_alter_table old_mode old_passwords optimizer_adjust_secondary_key_costs
optimizer_extra_pruning_depth optimizer_join_limit_pref_ratio optimizer_max_sel_arg_weight optimizer_max_sel_args
optimizer_max_subgraph_pairs optimizer_prune_level optimizer_search_depth optimizer_selectivity_sampling_limit
optimizer_switch optimizer_use_condition_selectivity parser_max_mem_size preload_buffer_size
print_identified_with_as_hex query_alloc_block_size query_cache_strip_comments query_cache_type
query_cache_wlock_invalidate query_prealloc_size range_alloc_block_size range_optimizer_max_mem_size
read_buffer_size read_rnd_buffer_size restrict_fk_on_non_standard_key rowid_merge_buff_size
secondary_engine_cost_threshold select_into_buffer_size select_into_disk_sync select_into_disk_sync_delay
set_operations_buffer_size show_create_table_skip_secondary_engine show_create_table_verbosity
show_gipk_in_create_table_and_information_schema slow_query_log sort_buffer_size sql_big_selects sql_buffer_result
sql_generate_invisible_primary_key sql_if_exists sql_notes sql_quote_show_create sql_require_primary_key
sql_safe_updates sql_warnings standard_compliant_cte storage_engine system_versioning_alter_history
system_versioning_asof system_versioning_insert_history terminology_use_previous time_zone timestamp
tmp_disk_table_size tmp_memory_table_size tmp_table_size transaction_alloc_block_size transaction_allow_batching
transaction_prealloc_size unique_checks updatable_views_with_limit use_secondary_engine use_stat_tables
windowing_use_high_precision
"""

_RULES: Final[dict[str, Rule]] = {
    **{name: Rule(Class.ROUTER, reason) for name, reason in _ROUTER.items()},
    **{name: Rule(Class.IGNORED, reason) for name, reason in _IGNORED.items()},
    **{name: Rule(Class.RESERVE, reason) for name, reason in _RESERVE.items()},
    **{name: Rule(Class.REFUSED, reason) for name, reason in _REFUSED.items()},
    **{name: Rule(Class.REFUSED, "", read_only=True) for name in _READ_ONLY},
    **dict.fromkeys(_SETTINGS.split(), SETTING),
}


OURS: Final = ("transaction_mode",)
"""Variables that no server has."""

HARMLESS: Final = {"sql_auto_is_null": 0, "profiling": 0, "sql_log_bin": 1, "sql_log_off": 0, "old": 0}
"""Values of refused variables that ask for what is so anyway, also where the server's default is not known."""

SESSION_ONLY: Final = frozenset(
    (
        "show_create_table_skip_secondary_engine",
        "timestamp",
        "transaction_allow_batching",
        "use_secondary_engine",
    )
)
"""Settings without a global value, hence without a default to compare with."""


def rule_of(name: str) -> Rule:
    """The rule of a variable by its lower-case name; one that the table does not have is a SETTING."""
    return _RULES.get(name, SETTING)


def known() -> dict[str, Rule]:
    """Every rule that the table has, by name."""
    return dict(_RULES)
