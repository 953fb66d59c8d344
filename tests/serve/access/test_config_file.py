"""Commands that work on a store find it where the gateway's own pir.toml says."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from pir_serve.cli import cli


def test_keys_and_store_commands_read_the_gateways_file(tmp_path: Path) -> None:
    file = tmp_path / "pir.toml"
    file.write_text(f'store = "{tmp_path / "elsewhere.db"}"\nseal_key = ["a-long-secret-of-ours"]\n')
    runner = CliRunner()
    made = runner.invoke(cli, ["keys", "create", "--json", "--config", str(file)])
    listed = runner.invoke(cli, ["keys", "list", "--json"], env={"PIR_CONFIG": str(file)})
    assert [key["id"] for key in json.loads(listed.stdout)] == [json.loads(made.stdout)["id"]]
    assert (tmp_path / "elsewhere.db").is_file()
    assert runner.invoke(cli, ["store", "stats", "--config", str(file)]).output.startswith(" tenant")
    missing = runner.invoke(cli, ["store", "stats", "--config", str(tmp_path / "no.toml")])
    assert missing.exit_code != 0 and "no.toml" in str(missing.exception)
