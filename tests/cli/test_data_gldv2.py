"""``cairn data gldv2``: from a server to a manifest, in one command or in several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cairn.cli.data import data
from cairn.errors import CairnError
from cairn.manifest import Manifest
from measuring.serving import FileServer, Trick
from measuring.small_gldv2 import SmallGldv2, make_gldv2

app = typer.Typer()
app.add_typer(data, name="data")

Call = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def made() -> SmallGldv2:
    return make_gldv2()


@pytest.fixture
def server(made: SmallGldv2, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(os, "sync", lambda: None)
    with FileServer(dict(made.files)).running() as running:
        monkeypatch.setenv("CAIRN_GLDV2_BASE", running.url + "/")
        yield running


@pytest.fixture
def call(server: FileServer, tmp_path: Path) -> Call:
    def run(*words: object) -> tuple[str, str]:
        command = ["data", "gldv2", str(tmp_path / "g"), "--only", "0-1", *map(str, words)]
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout, result.stderr

    return run


def test_from_nothing_to_a_manifest(call: Call, tmp_path: Path, made: SmallGldv2) -> None:
    out = tmp_path / "m.parquet"
    told, said = call("-o", out, "--json")
    value = json.loads(told)
    assert value["roles"] == {"train": len(made.clean), "query": len(made.test)}
    assert (value["num_tars"], value["num_tars_to_fetch"]) == (4, 4)
    assert value["bytes_at_most"] > value["bytes_afterwards"] > 0
    assert "to download" in said
    manifest = Manifest.read(out)
    assert manifest.fingerprint == value["fingerprint"]
    assert all(path.is_file() for path in manifest.paths)


def test_a_plan_downloads_nothing(call: Call, server: FileServer, tmp_path: Path) -> None:
    told, _ = call("--dry-run", "--sets", "train")
    assert "train: tars to fetch: 2" in told
    assert json.loads(call("--dry-run", "--json")[0])["dry_run"] is True
    assert {asked.method for asked in server.asked} == {"HEAD"}
    assert not (tmp_path / "g").exists()


def test_steps_of_their_own(call: Call, server: FileServer, tmp_path: Path) -> None:
    told, _ = call("--sets", "2x,test")
    assert f"tars unpacked in {tmp_path / 'g'}: 4;" in told
    assert "next: the same command with -o manifest.parquet" in told
    server.files.clear()
    asked = len(server.asked)
    call("--sets", "clean,test", "--parallel", "0", "-o", tmp_path / "clean.parquet")
    told, _ = call("--sets", "2x,nonlandmarks", "--parallel", "0", "-o", tmp_path / "bank.csv")
    assert "nonlandmark 40" in told
    assert len(server.asked) == asked


def refused(server: FileServer, tmp_path: Path, *words: str) -> CairnError:
    with pytest.raises(CairnError) as caught:
        CliRunner().invoke(
            app, ["data", "gldv2", str(tmp_path / "g"), *words], catch_exceptions=False
        )
    assert not (tmp_path / "g").exists()
    return caught.value


def test_what_cannot_be_is_refused_before_anything_is_asked(
    server: FileServer, tmp_path: Path
) -> None:
    out = str(tmp_path / "m.parquet")
    spaces = refused(server, tmp_path, "-o", out, "--sets", "clean,index")
    assert "different landmarks" in spaces.what
    everything = ("-o", out, "--sets", "clean,test,nonlandmarks", "--bank", "1")
    assert "both the bank and the queries" in refused(server, tmp_path, *everything).what
    assert "needs the set" in refused(server, tmp_path, "-o", out, "--bank", "0.5").what
    assert "for a manifest" in refused(server, tmp_path, "--bank", "0.5").what
    assert "no set" in refused(server, tmp_path, "--sets", "cleen").what
    backwards = refused(server, tmp_path, "-o", out, "--only", "9-3")
    assert "smaller one first" in backwards.what
    ending = refused(server, tmp_path, "-o", str(tmp_path / "m"))
    assert (ending.todo, ending.where) == ("name it m.parquet", str(tmp_path / "m"))
    Path(out).write_text("here")
    assert "never overwritten" in refused(server, tmp_path, "-o", out).what
    assert server.asked == []


def test_train_and_index_may_be_fetched_together(call: Call) -> None:
    assert ": 4;" in call("--sets", "train,index")[0]


def test_no_manifest_of_half_a_set(call: Call, server: FileServer, tmp_path: Path) -> None:
    del server.files["train/images_001.tar"]
    with pytest.raises(CairnError, match="1 tar is missing, 3 are there"):
        call("-o", tmp_path / "m.parquet")
    assert not (tmp_path / "m.parquet").exists()
    told, said = call("-o", tmp_path / "m.parquet", "--parallel", "0")
    assert "images of clean lie on disk" in said
    assert "train 18" in told


def test_ctrl_c_says_how_to_go_on(server: FileServer, tmp_path: Path) -> None:
    server.always["train/images_000.tar"] = Trick(stall_after=5000)
    script = (
        "import os, signal, cairn.fetch.client as client\n"
        "from cairn.cli import main\n"
        "chunks = client.Client.chunks\n"
        "def noticed(self, response):\n"
        "    for chunk in chunks(self, response):\n"
        "        if 'images_000.tar' in response.url:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        yield chunk\n"
        "client.Client.chunks = noticed\n"
        "main()\n"
    )
    words = ["data", "gldv2", str(tmp_path / "g"), "--only", "0", "--sets", "train"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted; the same command goes on from here" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "g" / "tars" / "train" / "images_000.tar.part").stat().st_size == 5000
