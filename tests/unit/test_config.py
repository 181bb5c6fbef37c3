"""cluster.toml: every error names the key and says what to change."""

from pathlib import Path

import pytest

from core import config as configuration
from core.config import Config, ConfigError, Dsn, parse_address, parse_size

GOOD = """
[cluster]
name = "shop"

[router]
mysql = "127.0.0.1:15306"

[[users]]
name = "app"
password = "app"
default_keyspace = "commerce"

[[keyspaces]]
name = "commerce"
shards = ["-80", "80-"]
vschema = "commerce.json"

[[keyspaces]]
name = "main"
"""


def load(tmp_path: Path, text: str) -> Config:
    (tmp_path / "commerce.json").write_text("{}")
    (tmp_path / "cluster.toml").write_text(text)
    return configuration.load(tmp_path / "cluster.toml")


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def test_a_good_file(tmp_path: Path) -> None:
    config = load(tmp_path, GOOD)
    assert config.cluster.name == "shop"
    assert config.data_dir == tmp_path / ".sluice"
    assert config.router.mysql == "127.0.0.1:15306"
    assert config.tablet.pool_size == 16
    assert [k.name for k in config.keyspaces] == ["commerce", "main"]
    assert config.keyspaces[0].shards == ("-80", "80-")
    assert config.keyspaces[1].shards == ("-",)
    assert config.mysql.memory_bytes == 512 * 2**20


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(tmp_path, GOOD)
    monkeypatch.chdir("/")
    assert config.resolve("x/y.sql") == tmp_path / "x/y.sql"
    assert config.resolve("/x/y.sql") == Path("/x/y.sql")


def test_an_external_shard(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        GOOD + '[[keyspaces.external]]\nshard = "-"\ndsn = "mysql://u:p%40ss@db1:3307/main?tls=required"\n',
    )
    dsn = config.keyspaces[1].external_dsn("-")
    assert dsn == Dsn("u", "p@ss", "db1", 3307, "main", "", "required")
    assert config.keyspaces[0].external_dsn("-80") is None


CASES = {
    "toml": ("cluster = [", "is not valid TOML"),
    "unknown section": (
        GOOD + "[routers]\nx = 1\n",
        "unknown section 'routers'; the file's sections are [cluster], ",
    ),
    "key outside": ("x = 1\n" + GOOD, "unknown key 'x'; the file's sections are"),
    "unknown key": (GOOD + "[tablet]\npool = 3\n", "unknown key 'pool' in [tablet]; known: consolidator"),
    "unknown user key": (
        GOOD + '[[users]]\nname = "x"\npasword = "y"\n',
        "unknown key 'pasword' in [[users]] 2",
    ),
    "unknown keyspace key": (
        GOOD + '[[keyspaces]]\nname = "x"\nshard = "-"\n',
        "unknown key 'shard' in [[keyspaces]] x",
    ),
    "unknown external key": (
        GOOD + '[[keyspaces.external]]\nshard = "-"\ndsn = "mysql://u@h/d"\nx = 1\n',
        "unknown key 'x' in [[keyspaces]] main external 1",
    ),
    "string wanted": (GOOD.replace('"shop"', "3"), "[cluster] name is a string, not 3"),
    "number wanted": (GOOD + '[tablet]\npool_size = "3"\n', "[tablet] pool_size is a whole number, not '3'"),
    "number, not truth": (
        GOOD + "[tablet]\npool_size = true\n",
        "[tablet] pool_size is a whole number, not True",
    ),
    "list wanted": (GOOD.replace('["-80", "80-"]', '"-80"'), "shards is a list of strings, not '-80'"),
    "list of strings": (GOOD.replace('["-80", "80-"]', "[1]"), "shards is a list of strings, not [1]"),
    "table wanted": ("cluster = 3\n", "[cluster] is a table"),
    "tables wanted": ("[keyspaces]\nname = 'x'\n", "keyspaces is a list of tables: write [[keyspaces]]"),
    "no keyspace": ("[cluster]\nname = 'x'\n", "no [[keyspaces]]"),
    "name missing": (GOOD + "[[keyspaces]]\nshards = ['-']\n", "key 'name' is missing"),
    "name of a cluster": (GOOD.replace('"shop"', '"a/b"'), "[cluster] name must not be empty and has no '/'"),
    "name of a keyspace": (GOOD.replace('"main"', '"a.b"'), "[[keyspaces]] a.b: name has letters"),
    "MySQL's own name": (GOOD.replace('"main"', '"mysql"'), "the name 'mysql' belongs to MySQL itself"),
    "keyspace twice": (GOOD.replace('"main"', '"commerce"'), "[[keyspaces]] commerce stands twice"),
    "gap": (GOOD.replace('"80-"', '"90-"'), "[[keyspaces]] commerce shards:"),
    "overlap": (GOOD.replace('"80-"', '"70-"'), "[[keyspaces]] commerce shards:"),
    "no range": (GOOD.replace('"80-"', '"xyz"'), "[[keyspaces]] commerce shards:"),
    "vschema missing": (
        GOOD.replace("commerce.json", "none.json"),
        "[[keyspaces]] commerce vschema: there is no file",
    ),
    "schema missing": (GOOD + 'schema = "none.sql"\n', "[[keyspaces]] main schema: there is no file"),
    "sharded without": (GOOD.replace('vschema = "commerce.json"\n', ""), "several shards need a vschema"),
    "replicas": (GOOD + "replicas = 1\n", "replicas: this version serves primaries only"),
    "negative replicas": (GOOD + "replicas = -1\n", "replicas must be 0 or more"),
    "address": (GOOD.replace("127.0.0.1:15306", "15306"), "[router] mysql: '15306' is not an address"),
    "port": (GOOD.replace("15306", "99999"), "[router] mysql: '127.0.0.1:99999' is not an address"),
    "etcd address": (GOOD + '[etcd]\nendpoints = ["x"]\n', "[etcd] endpoints: 'x' is not an address"),
    "workers": (GOOD.replace("[router]", "[router]\nworkers = -1"), "[router] workers must be 0"),
    "max_connections": (
        GOOD.replace("[router]", "[router]\nmax_connections = 0"),
        "[router] max_connections must be",
    ),
    "mode": (
        GOOD.replace("[router]", "[router]\ntransaction_mode = 'x'"),
        "transaction_mode is 'single' or 'multi'",
    ),
    "packet": (
        GOOD.replace("[router]", "[router]\nmax_allowed_packet = 9"),
        "max_allowed_packet must be 1 MiB",
    ),
    "packet beyond a frame": (
        GOOD.replace("[router]", "[router]\nmax_allowed_packet = 1073741824"),
        "at most 128 MiB",
    ),
    "half a certificate": (
        GOOD.replace("[router]", "[router]\ntls_cert = 'c'"),
        "tls_cert and tls_key belong together",
    ),
    "certificate": (
        GOOD.replace("[router]", "[router]\ntls_cert = 'c'\ntls_key = 'k'"),
        "[router] tls_cert: there is no file",
    ),
    "pool": (GOOD + "[tablet]\npool_size = 2\n", "[tablet] pool_size must be 3 or more"),
    "share": (GOOD + "[tablet]\nreserved_share = 1.5\n", "[tablet] reserved_share must be above 0"),
    "consolidator": (GOOD + "[tablet]\nconsolidator = 'x'\n", "[tablet] consolidator is 'on' or 'off'"),
    "timeout": (GOOD + "[tablet]\nquery_timeout_s = 0\n", "[tablet] query_timeout_s must be greater than 0"),
    "memory": (GOOD + "[mysql]\nmemory = 'lots'\n", "[mysql] memory: 'lots' is not a size"),
    "binary": (GOOD + "[mysql]\nbinary = './none'\n", "[mysql] binary: there is no file"),
    "user twice": (GOOD + '[[users]]\nname = "app"\npassword = "x"\n', "[[users]] app stands twice"),
    "no password": (GOOD + '[[users]]\nname = "x"\n', "[[users]] x: give either password or password_hash"),
    "two passwords": (
        GOOD + '[[users]]\nname = "x"\npassword = "y"\npassword_hash = "z"\n',
        "[[users]] x: give either password or password_hash",
    ),
    "default_keyspace": (
        GOOD.replace('default_keyspace = "commerce"', 'default_keyspace = "shop"'),
        "[[users]] app default_keyspace: there is no keyspace 'shop'",
    ),
    "external shard": (
        GOOD + '[[keyspaces.external]]\nshard = "-80"\ndsn = "mysql://u@h/d"\n',
        "external: shard '-80' is not in shards",
    ),
    "external twice": (
        GOOD + '[[keyspaces.external]]\nshard = "-"\ndsn = "mysql://u@h/d"\n' * 2,
        "external: a shard stands twice",
    ),
    "external without dsn": (GOOD + '[[keyspaces.external]]\nshard = "-"\n', "key 'dsn' is missing"),
    "dsn scheme": (
        GOOD + '[[keyspaces.external]]\nshard = "-"\ndsn = "http://h"\n',
        "is not a mysql:// address",
    ),
    "dsn user": (GOOD + '[[keyspaces.external]]\nshard = "-"\ndsn = "mysql://h/d"\n', "a user is missing"),
    "dsn database": (
        GOOD + '[[keyspaces.external]]\nshard = "-"\ndsn = "mysql://u@h"\n',
        "the database is missing",
    ),
    "dsn option": (
        GOOD + '[[keyspaces.external]]\nshard = "-"\ndsn = "mysql://u@h/d?ssl=1"\n',
        "unknown option 'ssl'; known: socket, tls",
    ),
    "dsn tls": (
        GOOD + '[[keyspaces.external]]\nshard = "-"\ndsn = "mysql://u@h/d?tls=x"\n',
        "tls is one of disabled",
    ),
    "dsn port": (
        GOOD + '[[keyspaces.external]]\nshard = "-"\ndsn = "mysql://u@h:x/d"\n',
        "the port is not a number",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_names_the_key(case: str, tmp_path: Path) -> None:
    text, expected = CASES[case]
    message = refused(tmp_path, text)
    assert expected in message
    assert "\n" not in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        configuration.load(tmp_path / "none.toml")


def test_a_directory_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        configuration.load(tmp_path)
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        configuration.load(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1B", 1),
        ("2KiB", 2048),
        ("3MiB", 3 * 2**20),
        ("1GiB", 2**30),
        ("1 MB", 10**6),
        ("2k", 2048),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, "x") == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "0", "1.5GiB", "1TiB", "1 MiB B"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a size"):
        parse_size(text, "x")


def test_addresses() -> None:
    assert parse_address("db:1", "x") == ("db", 1)
    assert parse_address(":5", "x") == ("0.0.0.0", 5)
    assert parse_address("[::1]:5", "x") == ("::1", 5)
    for text in ("", "db", "db:", "db:x", "db:70000", "db:-1"):
        with pytest.raises(ConfigError, match="is not an address"):
            parse_address(text, "x")
