"""Text from outside: what stands for bytes that are not UTF-8 reaches no library and no file."""

from __future__ import annotations

import io
import json
import os
import pickle

import pytest

from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.printing import encoded, encoded_json, escape_on, one_line, printable, readable

LATIN_1 = os.fsdecode(b"caf\xe9.png")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("café 日本 \U0001f600\n", "café 日本 \U0001f600\n"),
        (LATIN_1, "caf\\xe9.png"),
        ("\udc80\udcff", "\\x80\\xff"),
        ("a\ud83d and \udc00", "a\\ud83d and \\udc00"),
    ],
)
def test_lone_surrogates_become_escapes_and_all_else_stays(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert encoded(text) == shown.encode()


def test_a_name_stays_within_its_line() -> None:
    assert one_line("a\nb\rc\td\x00\x85\u2028\u2029 é日\udce9") == r"a\x0ab\x0dc\x09d\x00\x85\u2028\u2029 é日\xe9"
    name = "plain [2] #1 | é.png"
    assert one_line(name) == name


def test_messages_stay_one_line_of_readable_length() -> None:
    assert str(DataError("as it\u2019s")) == "as it\u2019s" and str(DataError()) == ""
    assert str(DataError("'a\nb' is odd: rename it")) == r"'a\x0ab' is odd: rename it"
    long = f"'{'x' * 100_000}' is odd: rename it"
    message = str(ConfigError(long))
    assert message.startswith("'xxx") and message.endswith("x' is odd: rename it") and len(message) < 2000
    assert f"... ({len(long) - 1900} letters left out) ..." in message
    copy = pickle.loads(pickle.dumps(ConfigError(message)))  # as worker processes send it
    assert type(copy) is ConfigError and str(copy) == message
    exact = "y" * 2000
    assert readable(exact) == exact


def test_json_keeps_the_text_itself() -> None:
    made = encoded_json(json.dumps({"path": LATIN_1, "name": "é"}, ensure_ascii=False))
    assert "é".encode() in made and json.loads(made.decode()) == {"path": LATIN_1, "name": "é"}


def test_a_stream_of_any_encoding_takes_any_text() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii")
    with pytest.raises(UnicodeEncodeError):
        stream.write("é")
    escape_on(stream, None)
    stream.write(f"é€\U0001f600 {LATIN_1}")
    stream.flush()
    assert written.getvalue() == b"\\xe9\\u20ac\\U0001f600 caf\\xe9.png"
