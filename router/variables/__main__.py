"""Writes docs/variables.md to standard output: `python -m router.variables > docs/variables.md`."""

from router.variables.privileged import privileged
from router.variables.table import Class, known

_HEADS = {
    Class.ROUTER: "Kept in the router, which acts by them",
    Class.IGNORED: "Accepted without effect, with a warning; reading gives back what was set",
    Class.RESERVE: "Set on a connection that the session keeps (in an unsharded keyspace or a target shard)",
    Class.REFUSED: "Refused (error 1235, or 1238 where no reason stands)",
}


def markdown() -> str:
    """`docs/variables.md` as text."""
    rules = known()
    lines = [
        "# System variables",
        "",
        "Generated from `router/variables/table.py` by `python -m router.variables`. What `SET SESSION` does with",
        "each variable that MySQL 9.7 or MariaDB 10.11 lets a session set. A variable that is not listed is asked",
        "for on a tablet, and the server's answer is the client's. A value equal to the server's default costs",
        "nothing and is accepted for all.",
        "",
        "`SET GLOBAL`, `SET PERSIST` and `RESET PERSIST` are for users with the role admin in the session's keyspace,",
        "and go to the MySQL of each of its shards (or of the target shard). Of variables that are listed here, which",
        "sessions have values of their own of, they are refused (1235): sessions take their defaults from the global",
        "values as each tablet found them when it started. Set those in the servers' configuration. Who changes one on",
        "a MySQL itself restarts its tablet: connections made since then begin with the new value.",
        "",
        "`SET STATEMENT x = ... FOR` (MariaDB) treats each variable as SET does, for one statement. `SET_VAR` hints",
        "(MySQL) go to the servers as they are; without the rights of the next section they are left out with MySQL's",
        "warning 1227, and `sql_auto_is_null` is refused. Of a transaction that is tracked, the router does not tell",
        "what a SHOW has read, single results of a CALL, and on MySQL without autocommit what follows CREATE TEMPORARY",
        "TABLE. GTIDs of a statement that several shards have committed are not told: no server knows them all.",
        "",
        "`@@port` and `@@max_connections` are the router's. Other global variables, and all of SHOW STATUS, are of one",
        "of the MySQLs behind, in a sharded keyspace its first shard's: `Threads_connected` counts a tablet's pool.",
        "The cluster's own figures are in `clusterctl status`, the dashboard and `/metrics`. SHOW VARIABLES and",
        "`performance_schema.session_variables` (MariaDB: `information_schema`) tell the session's own values. Tables",
        "of session status and of threads (`session_status`, `status_by_thread`, `variables_by_thread`), and counters",
        "in SHOW SESSION STATUS, tell those of the connection to MySQL that answers, unless FLUSH STATUS was said in",
        "this session: from then on it keeps one.",
        "",
        "What a stored procedure, function or trigger SETs is the session's from then on, as if it had SET it itself.",
        "Not so what is kept on a connection or refused (below): it ends with the program's statement, with warning",
        "1235; nor `timestamp`, and names that a program puts together (`PREPARE s FROM CONCAT('SET ', name, ...)`).",
    ]
    mysql, mariadb = privileged(mariadb=False), privileged(mariadb=True)
    names = [
        f"`{name}`"
        + ("" if name in mysql and name in mariadb else " (MySQL)" if name in mysql else " (MariaDB)")
        for name in sorted({*mysql, *mariadb})
    ]
    lines += [
        "",
        "## For users with the role admin in every keyspace only",
        "",
        "A server lets only privileged accounts set these; to other users the router says the server's own 1227:",
        ", ".join(names) + ".",
    ]
    for kind, head in _HEADS.items():
        lines += ["", f"## {head}", "", "| variable | why |", "| --- | --- |"]
        lines += [
            f"| `{name}` | {rule.reason or 'read only'} |"
            for name, rule in sorted(rules.items())
            if rule.kind is kind
        ]
    lines += [
        "",
        "## Settings: replayed on whichever connection runs the session's statements",
        "",
        "The value is checked on a tablet when it is set, once for each value and worker.",
        "",
    ]
    lines += [f"- `{name}`" for name, rule in sorted(rules.items()) if rule.kind is Class.SETTING]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
