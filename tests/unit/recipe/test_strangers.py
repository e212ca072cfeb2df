"""Recipes of strangers: whatever is in the file, it is a recipe or one short line, within seconds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tailored_llama.cli import execute
from tailored_llama.errors import LINE, RecipeError
from tailored_llama.recipe import Recipe, load_recipe, parse_value, read_yaml

MINIMAL = {"model": "m", "tasks": ["boolq"]}
PAIRS = list(zip("abcdefghijk", "bcdefghijkl", strict=True))
BOMB = "a: &a [x, x, x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in PAIRS)
MERGED = "a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}\n" for a, b in PAIRS)


def refused(document: str | bytes, tmp_path: Path) -> str:
    """Why the file with this content is no recipe: one line, with its name, at once."""
    path = tmp_path / "stranger.yaml"
    path.write_bytes(document if isinstance(document, bytes) else document.encode(errors="surrogatepass"))
    start = time.process_time()
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert time.process_time() - start < 3
    output = str(caught.value)
    assert "stranger.yaml" in output
    assert output.isprintable()
    assert len(output) <= LINE
    return output


@pytest.mark.parametrize(
    ("document", "output"),
    [
        (BOMB, "its aliases expand to over"),
        (MERGED, "its aliases expand to over"),
        ("&a [*a]", "an alias that contains itself"),
        ("model: &a {b: *a}", "an alias that contains itself"),
        ("[" * 60_000, "nested more than 20 deep"),
        ("{a: " * 15_000, "nested more than 20 deep"),
        ("- " * 30_000, "nested more than 20 deep"),
        ("\n".join(" " * level + "a:" for level in range(200)), "nested more than 20 deep"),
        ("model: [" + "1, " * 20_000 + "]", "more than 5,000 keys and values"),
        ("# " + "x" * 70_000, "larger than 65536 bytes"),
        ("seed: !!int abc", "invalid literal"),
        ("seed: !!float x", "could not convert"),
        ("seed: !!bool x", "a value that cannot be read"),
        ("model: !!binary eA==", "an unknown tag"),
        ("model: !!python/object:os.system ls", "an unknown tag"),
        ("model: !mine x", "an unknown tag"),
        ("tasks: !!set {a, b}", "an unknown tag"),
        ("seed: " + "9" * 5000, "cannot be read"),
        ("model: m\nseed: 0x" + "f" * 6000, "seed: input should be less than"),
        ("%YAML 1.1\n---\nmodel: yes", "the YAML version is not 1.2"),
        ("model: m\nmodel: n", "duplicate key"),
        ("1: m", "a key must be text, and '1' is not"),
        ("~: m", "a key must be text, and '~' is not"),
        ("true: m", "a key must be text"),
        ("? [a, b]\n: m", "a key must be text, and a list or mapping is not"),
        ("{{a: b}: c}", "a key must be text"),
        ("model: m\n---\nmodel: n", "another document"),
        ("model:\n\t- m", "cannot start any token"),
        ("model: a\0b", "special characters are not allowed"),
        ("model: \ud800", "not UTF-8 text"),
        (b"model: \xff\xfe", "not UTF-8 text"),
        (bytes(range(256)) * 20, "not UTF-8 text"),
        ("model: m".encode("utf-16"), "not UTF-8 text"),
        ("*" + "n" * 9000, "undefined alias"),
        ("", "a recipe is a mapping"),
        ("# nothing", "a recipe is a mapping"),
        ("just text", "a recipe is a mapping"),
    ],
    ids=range(37),
)  # fmt: skip
def test_what_is_no_document_is_one_line(document: str | bytes, output: str, tmp_path: Path) -> None:
    assert output in refused(document, tmp_path)


@pytest.mark.parametrize(
    ("change", "output"),
    [
        ({"seed": "2001-99-99"}, "seed: input should be a valid integer"),
        ({"seed": 2**64}, "seed: input should be less than"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0"),
        ({"tune.epochs": 1e20}, "tune.epochs"),
        ({"tune.epochs": 10**6000}, "tune.epochs: input should be less than"),
        ({"tune.epochs": float("inf")}, "tune.epochs: input should be a finite number"),
        ({"tune.learning_rate": float("nan")}, "finite"),
        ({"tune.learning_rate": "1e400"}, "finite"),
        ({"tune.lora.alpha": float("inf")}, "finite"),
        ({"prune.floor": float("inf")}, "finite"),
        ({"prune.layers": [0, 10**30]}, "prune.layers.1"),
        ({"prune.trajectory": [0.1] * 2000}, "prune.trajectory"),
        ({"tune.loss": {"answer": float("inf")}}, "finite"),
        ({"model": "~nosuch/model"}, "there is no user for '~nosuch'"),
        ({"model": ""}, "the path is empty"),
        ({"model": "a\nb"}, "control character"),
        ({"model": "x" * 300}, "longer than file systems allow"),
        ({"model": "x/" * 3000}, "4096 characters"),
        ({"tasks": ["~nosuch/t.yaml"]}, "there is no user"),
        ({"data": {"boolq": "~nosuch"}}, "there is no user"),
        ({"data": {"../x": "rows"}}, "has a '/'"),
        ({"data": {1: "rows"}}, "valid string"),
        ({"prune.calibration.source": "y" * 256}, "longer than file systems allow"),
        ({"evaluate.perplexity": ["~nosuch.txt"]}, "there is no user"),
        ({"tune.prompt": "../x"}, "has a '/'"),
        ({"tune.loss": "z" * 9000}, "unknown loss"),
        ({"sweep": {1: [2]}}, "valid string"),
        ({"a" + ".a" * 3000: 1}, "unknown key 'a'"),
        ({"n" * 9000: 1}, "unknown key"),
    ],
    ids=range(29),
)  # fmt: skip
def test_a_value_beyond_its_bounds_is_one_line(change: dict[str, Any], output: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(MINIMAL, list(change.items()))
    assert output in str(caught.value)
    assert len(str(caught.value)) <= LINE


def unbounded(schema: dict[str, Any], definitions: dict[str, Any], key: str = "") -> list[str]:
    """Keys of a JSON schema that are numbers without a largest value."""
    if "$ref" in schema:
        return unbounded(definitions[schema["$ref"].split("/")[-1]], definitions, key)
    number = schema.get("type") in ("integer", "number")
    found = [key] if number and not {"maximum", "exclusiveMaximum"} & schema.keys() else []
    for word in ("anyOf", "allOf", "oneOf", "prefixItems"):
        for part in schema.get(word, []):
            found += unbounded(part, definitions, key)
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            found += unbounded(schema[word], definitions, key)
    for name, part in schema.get("properties", {}).items():
        found += unbounded(part, definitions, f"{key}.{name}")
    return found


def test_every_number_of_a_recipe_has_a_bound() -> None:
    schema = Recipe.model_json_schema()
    assert unbounded({"properties": {"x": {"type": "integer"}}}, {}) == [".x"]
    assert unbounded(schema, schema["$defs"]) == []


def test_numbers_and_text_are_those_of_the_core_schema() -> None:
    assert parse_value("[2001-01-01, 2001-99-99, 4:30, =, yes, 1e-4, 0x10]") == [
        "2001-01-01", "2001-99-99", "4:30", "=", "yes", 1e-4, 16,
    ]  # fmt: skip
    assert parse_value("{a: &x {b: 1}, c: *x, d: {<<: *x, e: 2}}") == {
        "a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2},
    }  # fmt: skip
    assert load_recipe(MINIMAL, [("seed", 2**64 - 1)]).seed == 2**64 - 1


def test_a_home_directory_is_written_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_recipe(MINIMAL, [("model", "~/model")]).model == f"{tmp_path}/model"


def test_what_is_no_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (str(tmp_path), "~nosuch/recipe.yaml", "x" * 300, "x/" * 3000, "", "/dev/null", "a\nb"):
        assert execute(["run", name, "--out", str(tmp_path / "out")]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.count("\n") == 1
        assert len(output.err) < 700
    assert list(tmp_path.iterdir()) == []


WORDS = some.sampled_from(
    ["model", "seed", "tasks", "prune", "ratio", "tune", "sweep", "variants", "<<", "data"]
)
ATOMS = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.text(max_size=20)
    | WORDS
    | some.sampled_from(
        ["!!int x", "*a", "&a b", "{", "[", "]", "- ", "? ", "|\n", "'", '"', "\t", "\0", "~"]
    )
)
KEYS = WORDS | some.text(max_size=5)
VALUES = some.recursive(
    ATOMS,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
ENTRY = some.tuples(some.integers(0, 3), WORDS, VALUES).map(lambda e: f"{'  ' * e[0]}{e[1]}: {e[2]}")
DOCUMENTS = some.lists(ENTRY, max_size=8).map("\n".join) | some.text(max_size=200) | some.binary(max_size=200)


def is_read_or_refused(source: Path | dict[str, Any]) -> None:
    start = time.process_time()
    problem = ""
    try:
        assert isinstance(load_recipe(source), Recipe)
    except RecipeError as error:
        problem = str(error)
    assert time.process_time() - start < 3
    assert problem.isprintable()
    assert len(problem) <= LINE


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENTS)
def test_any_document_is_a_recipe_or_one_line(document: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "stranger.yaml"
    path.write_bytes(document if isinstance(document, bytes) else document.encode(errors="surrogatepass"))
    is_read_or_refused(path)


@settings(max_examples=30, deadline=None)
@given(document=some.dictionaries(KEYS, VALUES, max_size=5))
def test_any_mapping_is_a_recipe_or_one_line(document: dict[str, Any]) -> None:
    is_read_or_refused({**MINIMAL, **document})


def test_a_document_as_large_as_allowed_is_read_within_seconds(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("a: [" + ", ".join(["1"] * 4900) + "]\n" + "b: " + "x" * 35_000)
    start = time.process_time()
    assert len(read_yaml(path)["a"]) == 4900
    assert time.process_time() - start < 5
