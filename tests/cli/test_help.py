"""What ``cairn --help`` shows a person who is new."""

from typer.testing import CliRunner

from cairn.cli.app import app
from cairn.config import builtin_recipes


def test_the_help_lists_commands_as_the_job_goes_and_every_recipe() -> None:
    out = CliRunner().invoke(app, ["--help"]).stdout
    listed = [line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line]
    job = (
        "demo data inspect train model embed gallery penalize tune calibrate recognize ensemble "
        "serve evaluate report lint retrieval attention export push pull reproduce"
    )
    assert listed == job.split()
    assert "..." not in out.partition("Commands:")[2], "a summary is cut off"
    words = " ".join(CliRunner().invoke(app, ["train", "--help"]).stdout.split())
    for name in builtin_recipes():
        assert name in words
