"""What a run writes for people stays of one piece with its state."""

from __future__ import annotations

from pathlib import Path

from cairn.training.record import Record


def test_metrics_go_back_to_the_state_also_from_a_line_cut_off(tmp_path: Path) -> None:
    record, path = Record(tmp_path), tmp_path / "metrics.jsonl"
    for epoch in range(3):
        record.write({"epoch": epoch, "loss": 0.5})
    with path.open("ab") as handle:
        handle.write(b'{"epoch": 3, "stage_name": "\xe7')
    record.go_on(epoch=2)
    assert [line["epoch"] for line in record._lines()] == [0, 1, 2]
    record.go_on(epoch=0)
    assert path.read_text() == '{"epoch": 0, "loss": 0.5}\n'
    record.go_on(epoch=-1)
    assert path.read_text() == ""
