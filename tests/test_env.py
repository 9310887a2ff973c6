"""Settings from the environment: what is accepted, and that a wrong one stops the start in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.lib import env


@pytest.mark.parametrize("text", ["https://console.example", "http://127.0.0.1:8000", "https://console.example/"])
def test_an_origin_loses_its_slash_and_nothing_else(text):
    assert env.origin(text) == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        "console.example",
        "ftp://console.example",
        "https://a/b",
        "https://a?b",
        "http://[::",
        "http://a:0",
        "http://a:99999",
        "https://user:word@a",
    ],
)
def test_what_is_no_origin_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011  # the sentence is written by `read`
        env.origin(text)


@given(st.text(max_size=30))
def test_no_text_makes_an_origin_that_is_not_one(text):
    try:
        found = env.origin(text)
    except ValueError:
        return
    assert found.startswith(("http://", "https://", "HTTP", "Http"))
    assert "/" not in found.partition("://")[2]


@given(st.text(max_size=12))
def test_a_port_is_a_number_that_one_can_listen_on_or_refused(text):
    try:
        assert 1 <= env.port(text) <= 65535
    except ValueError:
        return


def test_a_setting_may_stand_in_a_file(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.write_text("from the file\n")
    monkeypatch.setenv("SOME_SECRET_FILE", str(path))
    assert env.read("SOME_SECRET", str, "", "") == "from the file"


def test_an_empty_setting_is_one_that_is_not_set(monkeypatch):
    monkeypatch.setenv("SOME_SETTING", "  ")
    assert env.read("SOME_SETTING", env.yes_no, True, "") is True


@pytest.mark.parametrize(
    ("name", "value", "cast"),
    [
        ("SOME_FLAG", "perhaps", env.yes_no),
        ("SOME_PORT", "0", env.port),
        ("SOME_URL", "x", env.origin),
        ("SOME_BROKER", "http://x", env.broker),
        ("SOME_BROKER", "redis://x:y", env.broker),
        ("SOME_LEVEL", "loud", env.level),
        ("OTHER_SECRET_FILE", "/nowhere", str),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name_and_a_hint(monkeypatch, capsys, name, value, cast):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        env.read(name.removesuffix("_FILE"), cast, None, "Write it like this.")
    assert stopped.value.code == 78
    words = capsys.readouterr().err
    assert name in words
    assert "Write it like this." in words


@pytest.mark.parametrize(("text", "value"), [("1", True), ("yes", True), ("ON", True), ("0", False), ("False", False)])
def test_a_flag_is_read_as_people_write_it(text, value):
    assert env.yes_no(text) is value
