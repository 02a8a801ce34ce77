"""Functions of users by their names."""

import pytest

from oidn_jax.commands.hook import function_of
from oidn_jax.errors import InputError


def test_a_function_of_a_file_and_of_a_module(tmp_path):
    file = tmp_path / "tracking.py"
    file.write_text("heard = []\ndef log(record): heard.append(record); return heard\n")
    assert function_of("on_metrics", f"{file}:log")({"step": 1}) == [{"step": 1}]
    assert function_of("on_metrics", "json:dumps")([1]) == "[1]"


def test_a_file_may_hold_dataclasses(tmp_path):
    file = tmp_path / "tracked.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Seen:\n    step: int\n"
    )
    assert function_of("on_metrics", f"{file}:Seen")(3).step == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tracking", "give MODULE:FUNCTION or FILE.py:FUNCTION"),
        (":log", "give MODULE:FUNCTION"),
        ("tracking.py:", "give MODULE:FUNCTION"),
        ("nowhere.py:log", "nowhere.py cannot be loaded: there is no such file"),
        ("no_such_module:log", "cannot be loaded: No module named 'no_such_module'"),
        ("broken.py:log", "broken.py cannot be loaded: division by zero"),
        ("ending.py:log", "ending.py cannot be loaded: 0"),
        ("json:nothing", "json has no function nothing"),
        ("json:__doc__", "json has no function __doc__"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "ending.py").write_text("import sys; sys.exit(0)")
    with pytest.raises(InputError, match=rf"^`on_metrics` is '{name}'.*{message}") as refused:
        function_of("on_metrics", name)
    assert "\n" not in str(refused.value)
