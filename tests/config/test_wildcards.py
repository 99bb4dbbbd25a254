from __future__ import annotations

import errno
from pathlib import Path

import pytest

from stablenew.config.wildcards import Option, Wildcards, read_wildcards
from stablenew.errors import ConfigError, StableNewError
from tests.faults.failing_disk import FailingDisk

YAML = """\
animals:
  cats:
    - tabby
    - 3::siamese
    - {text: sphynx, weight: 0.5}
  dogs: [poodle, no]
  fish: trout
"""


def wildcards(folder: Path, **files: str) -> Wildcards:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read_wildcards(folder)


def test_a_text_file_has_a_value_a_line(tmp_path: Path) -> None:
    found = wildcards(tmp_path, colours__warm_txt="\ufeffred\r\n# no\n\n  3::orange, bright \n")
    assert found.names == ("colours/warm",)
    assert found.options("colours/warm") == (Option("red"), Option("orange, bright", 3))


def test_a_structured_file_is_a_tree_of_lists(tmp_path: Path) -> None:
    found = wildcards(
        tmp_path, zoo__a_yaml=YAML, b_json='["x", {"content": "y", "weight": 2}]', notes_md="no"
    )
    assert found.names == ("b", "zoo/animals/cats", "zoo/animals/dogs", "zoo/animals/fish")
    cats = (Option("tabby"), Option("siamese", 3), Option("sphynx", 0.5))
    assert found.options("zoo/animals/cats") == cats
    assert found.options("zoo/animals/[df]*") == (Option("poodle"), Option("no"), Option("trout"))
    assert found.options("b") == (Option("x"), Option("y", 2))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a_yaml": "a: b\n]\n"}, "a.yaml: line 2: not YAML"),
        ({"a_yaml": "a:\n  - [b]\n"}, "a.yaml: given ['b'], expected a text"),
        ({"a_yaml": "a:\n  - {text: b, weight: heavy}\n"}, "a.yaml: given {'text': 'b', 'weight'"),
        ({"a_yaml": "a: " + "{a: " * 30 + "b" + "}" * 30}, "nested more than 20 deep"),
        ({"a_json": "{"}, "a.json: not JSON"),
        ({"a_txt": "# nothing\n"}, "__*__: no value in a"),
        ({"a_txt": "zero \0 byte"}, "a.txt: not a text file"),
        ({"a_md": "red"}, "wildcards: no .txt or .yaml file in "),
    ],
)
def test_a_broken_folder_is_told_by_its_file(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        wildcards(tmp_path, **files).options("*")
    assert expected in str(caught.value)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"wildcards: given '.*none', expected a folder"):
        read_wildcards(tmp_path / "none")


def test_a_folder_that_cannot_be_listed_is_an_error_that_names_it(tmp_path: Path) -> None:
    disk = FailingDisk(tmp_path, code=errno.EIO)
    (tmp_path / "colours.txt").write_text("red\nblue\n")
    for disk.fails_at in (1, 2, 3):
        disk.calls.clear()
        with disk.inserted(), pytest.raises(StableNewError, match=str(tmp_path)):
            read_wildcards(tmp_path).options("colours")
