"""What a router that is started again knows of having been drained."""

from pathlib import Path

import pytest

from core.config import Cluster, Config
from router.daemon.drained import USUAL, Drained


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "run").mkdir()
    return Config(tmp_path / "cluster.toml", Cluster(data_dir="."))


def test_it_is_known_again_until_it_is_undone(config: Config) -> None:
    order = {"grace_s": 5.0, "limit_s": 2.5}
    first = Drained(config, "router-1")
    assert first.order is None
    first.begin(order)
    assert first.order == order
    assert Drained(config, "router-1").order == order
    assert Drained(config, "router-2").order is None
    first.end()
    first.end()
    assert Drained(config, "router-1").order is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"grace_s": 1}', '{"grace_s": "x", "limit_s": 1}'])
def test_a_file_that_cannot_be_read_drains_too(config: Config, content: str) -> None:
    (config.data_dir / "run" / "router-1.drained").write_text(content)
    assert Drained(config, "router-1").order == USUAL


def test_without_a_place_for_the_file_it_holds_until_the_end(tmp_path: Path) -> None:
    config = Config(tmp_path / "cluster.toml", Cluster(data_dir="no"))
    drained = Drained(config, "router-1")
    drained.begin(dict(USUAL))
    assert drained.order == USUAL
    drained.end()
    assert drained.order is None
