from __future__ import annotations

import pytest

from cairn.errors import CairnError, nearest


@pytest.mark.parametrize(
    ("where", "todo", "expected"),
    [
        ("", "", "broken"),
        ("a.csv", "", "broken\n  where: a.csv"),
        ("", "mend it", "broken\n  do:    mend it"),
        ("a.csv", "mend it", "broken\n  where: a.csv\n  do:    mend it"),
    ],
)
def test_an_error_tells_what_where_and_what_to_do(where: str, todo: str, expected: str) -> None:
    error = CairnError("broken", where=where, todo=todo)
    assert str(error) == expected
    assert error.args == ("broken",)


def test_where_may_be_any_value() -> None:
    assert CairnError("x", where=("a", 1)).where == "('a', 1)"


def test_the_nearest_name_or_all_of_them() -> None:
    assert nearest("qeury", ["query", "gallery"]) == "did you mean 'query'?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("故宮", ["故宫", "天坛"]) == "known: 天坛, 故宫", "half alike is not close"
    assert nearest("北京故宮", ["北京故宫", "天坛"]) == "did you mean '北京故宫'?"
