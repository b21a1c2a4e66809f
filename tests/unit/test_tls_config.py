"""The `[tls]` section: nothing is served where nobody said which revocation lists count."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from broker.config import ConfigError, load
from certs import network


def changed(folder: Path, pattern: str, replacement: str) -> Path:
    config = network.create(folder, "127.0.0.1:0").broker_config
    before = config.read_text()
    after = re.sub(pattern, replacement, before, flags=re.MULTILINE)
    assert before != after
    config.write_text(after)
    return config


def test_the_development_network_names_its_list(tmp_path: Path) -> None:
    tls = load(network.create(tmp_path, "127.0.0.1:0").broker_config).tls
    assert [path.is_file() for path in tls.revocation_lists] == [True]
    assert tls.revocation_list_hours == 30 * 24


@pytest.mark.parametrize("value", ["", "revocation_lists = []", 'revocation_lists = "one.pem"'])
def test_without_a_list_the_configuration_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="revocation_lists"):
        load(changed(tmp_path, "^revocation_lists = .*$", value))


@pytest.mark.parametrize("hours", ["0", "-1", '"168"', "true"])
def test_the_oldest_age_is_a_number_of_hours(tmp_path: Path, hours: str) -> None:
    with pytest.raises(ConfigError, match="revocation_list_hours"):
        load(changed(tmp_path, "^revocation_list_hours = .*$", f"revocation_list_hours = {hours}"))
