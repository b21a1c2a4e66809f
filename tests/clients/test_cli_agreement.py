"""`entente agreement draft|check|sign`, without a broker: what is refused before anybody else sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from certs import network
from entente_sdk.cli import application
from tests.support.agreements import sample

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    net = network.create(tmp_path / "network", "127.0.0.1:0")
    monkeypatch.setenv("ENTENTE_CONFIG", str(net.client_config))
    monkeypatch.chdir(tmp_path)
    app = application()

    def invoke(*words: str, status: int = 0) -> Result:
        found = CliRunner().invoke(app, ["agreement", *words])
        assert found.exit_code == status, found.output
        return found

    return invoke


def drafted(run: Run, **words: str) -> Path:
    """A draft between the dev network's agencies, with words of it replaced."""
    parties = [word for party in sample().parties for word in ("--party", party)]
    run("draft", "trial.yaml", *parties)
    path = Path("trial.yaml")
    text = path.read_text()
    for old, new in words.items():
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_a_draft_is_never_overwritten(run: Run) -> None:
    drafted(run)
    assert "never overwritten" in run("draft", "trial.yaml", status=2).stderr


def test_check_says_all_that_is_wrong(run: Run) -> None:
    drafted(run, INTELLIGENCE_DEVELOPMENT="FRAUD", EVIDENTIAL="INTELLIGENCE_ONLY", WITH_CONSENT="WHISPER")
    said = run("check", "trial.yaml", "--profile", "liaison", status=5).output
    assert "ends in court" in said
    assert "WHISPER is not known" in said
    assert "AGREEMENT_INVALID" in run("sign", "trial.yaml", "--profile", "liaison", status=2).stderr
    assert not Path("trial.json").exists()


def test_parties_sign_one_after_the_other(run: Run) -> None:
    drafted(run)
    assert (
        "Still to sign: justitie.example/haven-police" in run("sign", "trial.yaml", "--profile", "neighbourhood").stdout
    )
    assert "has not signed" in run("check", "trial.json", "--profile", "liaison").stdout
    assert "no party" in run("sign", "trial.json", "--profile", "national", status=2).stderr
    assert "All parties have signed" in run("sign", "trial.json", "--profile", "liaison").stdout
    # Signing again replaces one's own.
    before = Path("trial.json").read_text()
    run("sign", "trial.json", "--profile", "liaison")
    assert before.count('"protected"') == Path("trial.json").read_text().count('"protected"') == 2


def test_check_sees_what_was_changed_since(run: Run, tmp_path: Path) -> None:
    drafted(run)
    run("sign", "trial.yaml", "--profile", "neighbourhood")
    Path("other.yaml").write_text(Path("trial.yaml").read_text().replace("ceiling: SECRET", "ceiling: TOP_SECRET"))
    run("sign", "other.yaml", "--profile", "neighbourhood")
    mine, other = Path("trial.json").read_text(), Path("other.json").read_text()
    swapped = mine.replace(mine.split('"')[3], other.split('"')[3])
    assert swapped != mine
    Path("trial.json").write_text(swapped)
    assert "does not hold" in run("check", "trial.json", "--profile", "liaison", status=5).output
    # And what another network's authority has issued.
    elsewhere = network.create(tmp_path / "elsewhere", "127.0.0.1:0")
    Path("foreign.json").write_text((elsewhere.directory / "agreements/haven-north.json").read_text())
    assert "authority" in run("check", "foreign.json", "--profile", "liaison", status=5).output


def test_the_register_is_listed(run: Run) -> None:
    assert "DPA2018_S35" in run("bases").stdout
