"""Text files as they come: marks, encodings and line ends, of rows, corpora, calibration and instructions."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tailored_llama.cli import execute
from tailored_llama.data import load_task
from tailored_llama.data.instructions import read_instructions
from tailored_llama.data.text_windows import calibration_tokens
from tailored_llama.errors import DataError, RecipeError
from tailored_llama.recipe import Calibration, read_yaml
from tailored_llama.recipe.text import read_text
from tailored_llama.stages.evaluate.perplexity import corpus
from tests.support.tasks import MOOD

TASK = MOOD + 'prompts: {plain: {context: "{{ text }}"}}\n'
TEXTS = {
    "latin-1": "Le café est fermé.",
    "cp1252": "“The cake burned”, she said—it’s sad",
    "cp1251": "Дождь испортил наш пикник.",
    "cp1250": "Zażółć gęślą jaźń",
    "cp1253": "Η βροχή χάλασε το πικνίκ μας.",
    "koi8_r": "Дождь испортил наш пикник.",
    "shift_jis": "雨がピクニックを台無しにした。",
    "gb18030": "大雨毁了我们的野餐。她找到了她的猫",
    "big5": "大雨毀了我們的野餐。",
    "euc_kr": "비가 소풍을 망쳤다.",
    "utf-16": "The rain ruined it: é.",
    "utf-16-le": "The rain ruined it: é.",
    "utf-16-be": "The rain ruined it: é.",
    "utf-32": "The rain ruined it: é.",
    "iso2022_jp": "雨がピクニックを台無しにした。",
    "iso2022_kr": "비가 소풍을 망쳤다.",
}
SUFFIXES = {
    "csv": 'text,mood\r\n"{}",sad\r\n',
    "tsv": "text\tmood\n{}\tsad\n",
    "jsonl": '{{"text": "{}", "mood": "sad"}}\n',
    "json": '[{{"text": "{}", "mood": "sad"}}]\n',
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.yaml").write_text(TASK)
    return tmp_path / "own.yaml"


def again(own: Path, source: str) -> str:
    """The first text of the rows, by the same task with another source."""
    other = own.parent / "other.yaml"
    other.write_text(TASK.replace("{files: .}", source))
    return str(load_task(other).rows("train")[0]["text"])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("encoding", TEXTS)
def test_the_key_that_the_message_names_reads_the_file(own: Path, encoding: str, suffix: str) -> None:
    path = own.parent / f"train.{suffix}"
    path.write_bytes(SUFFIXES[suffix].format(TEXTS[encoding]).encode(encoding))
    with pytest.raises(
        DataError, match=rf"{path}.* it is likely .*write encoding: \S+ under source"
    ) as caught:
        load_task(own).rows("train")
    (named,) = re.findall(r"write encoding: (\S+) under", str(caught.value))
    assert "\n" not in str(caught.value)
    assert again(own, f"{{files: ., encoding: {named}}}") == TEXTS[encoding]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_the_usual_names_are_named(own: Path, encoding: str) -> None:
    (own.parent / "train.csv").write_bytes(SUFFIXES["csv"].format(TEXTS[encoding]).encode(encoding))
    with pytest.raises(DataError, match=f"it is likely {encoding} .*encoding: {encoding} "):
        load_task(own).rows("train")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_byte_order_mark_is_no_part_of_a_field(own: Path, suffix: str) -> None:
    text = SUFFIXES[suffix].format("é")
    (own.parent / f"train.{suffix}").write_bytes(codecs.BOM_UTF8 + text.encode())
    assert load_task(own).rows("train") == [{"text": "é", "mood": "sad"}]


def test_a_damaged_byte_in_utf8_is_not_taken_for_another_encoding(own: Path) -> None:
    text = "text,mood\n" + "Ärger über Füße,sad\n" * 3
    (own.parent / "train.csv").write_bytes(text.encode() + b"caf\xc3,sad\n")
    with pytest.raises(
        DataError, match=r"line 5: byte 0xc3 is not UTF-8, unlike the rest; correct that line"
    ):
        load_task(own).rows("train")


def test_bytes_that_are_no_text(own: Path) -> None:
    (own.parent / "train.csv").write_bytes(b"text,mood\n\xff\xfe\x00\x01\n")
    with pytest.raises(DataError, match=r"line 2: byte 0xff is not UTF-8; it is a binary file"):
        load_task(own).rows("train")
    with pytest.raises(DataError, match=r"line 2: byte 0xff is not ascii; correct the key encoding:"):
        again(own, "{files: ., encoding: ascii}")


def test_the_message_on_the_command_line(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own.parent / "train.csv").write_bytes("text,mood\nfermé,sad\n".encode("latin-1"))
    assert execute(["prompts", "show", str(own)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "line 2: byte 0xe9 is not UTF-8; it is likely latin-1" in printed.err


def calibrated(path: Path) -> list[str]:
    """What the tokenizer is given of a calibration file."""
    given: list[str] = []

    class Forty:
        """A tokenizer to which every text is the same forty tokens."""

        bos_token = eos_token = None

        def encode(self, text: str, **_: object) -> list[int]:
            given.append(text)
            return list(range(40))

    settings = Calibration(source=str(path), samples=1, length=4)
    calibration_tokens(settings, Forty, vocabulary=100, seed=1)  # type: ignore[arg-type]
    return given


def instructed(path: Path) -> str:
    return read_instructions(path)[0]["instruction"]


READERS: dict[str, tuple[str, Callable[[Path], str]]] = {
    "calibration.txt": ("a {}\r\nb\rc", lambda path: calibrated(path)[0]),
    "calibration.jsonl": ('{{"text": "a {}\\nb\\nc"}}\r\n', lambda path: calibrated(path)[0]),
    "corpus.txt": ("a {}\r\nb\rc", lambda path: corpus(str(path), {})),
    "instructions.jsonl": ('{{"instruction": "a {}\\nb\\nc", "output": "x"}}\r\n', instructed),
    "instructions.json": ('[{{"instruction": "a {}\\nb\\nc", "output": "x"}}]', instructed),
}


@pytest.mark.parametrize("name", READERS)
def test_every_text_is_read_alike(tmp_path: Path, name: str) -> None:
    template, read = READERS[name]
    path = tmp_path / name
    for letter in ("é", "\u2028", "\x85"):
        for mark in (b"", codecs.BOM_UTF8):
            path.write_bytes(mark + template.format(letter).encode())
            assert read(path) == f"a {letter}\nb\nc"
    for encoding in ("latin-1", "utf-16"):
        path.write_bytes(template.format("é").encode(encoding))
        with pytest.raises(DataError, match=f"{name}.* is likely {encoding} .*iconv -f {encoding} -t UTF-8"):
            read(path)


@pytest.mark.parametrize("row", ['{"text": null}', '{"text": 1}', '{"text": NaN}', '{"text": "\\ud800"}',
                                 '{"text": "a", "text": "b"}', '["a"]'])  # fmt: skip
def test_calibration_rows_that_have_no_text(tmp_path: Path, row: str) -> None:
    (tmp_path / "rows.jsonl").write_text(f'{{"text": "a"}}\n\n{row}\n')
    with pytest.raises(DataError, match=r'rows.jsonl, row 2: not a JSON object with a "text"'):
        calibrated(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("field", "says"),
    [("null", "'output' is missing or empty"), ("NaN", r"'output' is missing \(nan\)"),
     ('["a"]', "'output' is not text"), ('" "', "'output' is missing or empty")],
)  # fmt: skip
def test_instructions_that_are_no_text(tmp_path: Path, field: str, says: str) -> None:
    (tmp_path / "general.jsonl").write_text(f'{{"instruction": "Say.", "output": {field}}}')
    with pytest.raises(DataError, match=f"row 1: {says}"):
        read_instructions(tmp_path / "general.jsonl")


def test_rows_of_a_corpus_end_at_line_ends_alone(tmp_path: Path) -> None:
    (tmp_path / "wiki.txt").write_bytes("a\u2028b\x0cc\r\n \r\nd".encode())
    assert corpus("wikitext2", {"wikitext2": tmp_path / "wiki.txt"}) == "a\u2028b\x0cc\n\n\n\n\nd"


def test_yaml_files_are_texts_too(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(codecs.BOM_UTF8 + "a: é\r\nb: 1\r\n".encode())
    assert read_yaml(path) == {"a": "é", "b": 1}
    path.write_bytes("a: é\n".encode("latin-1"))
    with pytest.raises(RecipeError, match=r"line 1: byte 0xe9 is not UTF-8; it is likely latin-1"):
        read_yaml(path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not readable text \(Is a directory\)"):
        read_text(tmp_path)
    with pytest.raises(DataError, match=r"nowhere is not readable text \(No such file or directory\)"):
        read_text(tmp_path / "nowhere")
