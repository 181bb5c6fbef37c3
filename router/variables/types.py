"""From the text of SHOW VARIABLES to the value that SELECT @@x gives.

SHOW prints booleans as ON/OFF and NULL as nothing; SELECT gives 1/0 and NULL. Found by asking MySQL 9.7 and MariaDB
10.11 for every variable both ways; a test does so again.
"""

import re
from typing import Final

VariableValue = int | float | str | None

_WHOLE: Final = re.compile(r"-?\d+\Z")
_DOUBLE: Final = re.compile(r"-?\d+\.\d{6}\Z")
_NOT_BOOLEAN: Final = frozenset(
    [
        "delay_key_write",
        "enforce_gtid_consistency",
        "event_scheduler",
        "gtid_mode",
        "innodb_encrypt_tables",
        "innodb_log_writer_threads",
        "myisam_recover_options",
        "query_cache_type",
        "replica_skip_errors",
        "session_track_gtids",
        "session_track_transaction_info",
        "slave_skip_errors",
        "ssl_fips_mode",
        "use_secondary_engine",
    ]
)
"""Enumerations that have ON or OFF among their values."""
_NULL_WHEN_EMPTY: Final = frozenset(
    [
        "admin_address",
        "admin_ssl_ca",
        "admin_ssl_capath",
        "admin_ssl_cert",
        "admin_ssl_cipher",
        "admin_ssl_crl",
        "admin_ssl_crlpath",
        "admin_ssl_key",
        "admin_tls_ciphersuites",
        "default_tmp_storage_engine",
        "enforce_storage_engine",
        "external_table_secondary_storage_engine",
        "external_table_storage_engine",
        "external_user",
        "init_file",
        "innodb_data_home_dir",
        "innodb_directories",
        "innodb_doublewrite_dir",
        "innodb_ft_aux_table",
        "innodb_ft_server_stopword_table",
        "innodb_ft_user_stopword_table",
        "innodb_monitor_disable",
        "innodb_monitor_enable",
        "innodb_monitor_reset",
        "innodb_monitor_reset_all",
        "innodb_redo_log_archive_dirs",
        "innodb_tmpdir",
        "lc_messages_dir",
        "log_bin_basename",
        "log_bin_index",
        "proxy_user",
        "relay_log",
        "relay_log_basename",
        "relay_log_index",
        "report_host",
        "report_password",
        "report_user",
        "ssl_ca",
        "ssl_capath",
        "ssl_cert",
        "ssl_cipher",
        "ssl_crl",
        "ssl_crlpath",
        "ssl_key",
        "tls_ciphersuites",
        "wsrep_sst_auth",
        "character_set_results",
    ]
)


def typed(name: str, text: str, *, mariadb: bool = False) -> VariableValue:
    """The value of a variable whose text SHOW VARIABLES gives."""
    if text in ("ON", "OFF"):
        if name in _NOT_BOOLEAN or (name == "innodb_doublewrite" and not mariadb):
            return text
        return int(text == "ON")
    if _WHOLE.match(text):
        return int(text)
    if _DOUBLE.match(text):
        return float(text)
    if not text and name in _NULL_WHEN_EMPTY:
        return None
    return text
