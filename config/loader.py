"""Loads YAML into plain values that remember the file and line they came from.

Safe by construction: no tags beyond plain data, no aliases, no duplicate keys, a bounded size and depth. A scalar that
is wholly `${NAME}` is replaced by that environment variable, `${file:PATH}` by the content of a file, so that secrets
stay out of the settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from unicodedata import category

import yaml

LARGEST = 1_000_000  # bytes; a settings file of a megabyte is a mistake
DEEPEST = 30
_STR = "tag:yaml.org,2002:str"
_SHOWN = re.compile(r"[\w .@*-]{1,32}")  # of a key
_UNPRINTABLE = "holds a character that cannot be printed; take it out"
_HINTS = {  # what the parser trips over is seldom what is wrong
    "'\\t'": "; write spaces instead of tabs",
    "cannot start any token": "; put the value in quotes",
    "mapping values are not allowed": "; there is a colon too many, or one is missing on the line before",
    "could not find expected ':'": "; a colon is missing",
    "expected ','": "; a bracket before it is not closed, or a comma is missing",
    "<stream end>": "; the file ends in the middle of a value",
    "unexpected end of stream": "; a quote is not closed",
    "expected <block end>": "; it is indented otherwise than the lines it belongs to",
    "found another document": "; take out the line ---",
    "unknown escape character": "; write single quotes instead of double ones",
}
_REFERENCE = re.compile(r"\$\{(file:)?([^{}]+)\}\Z")

Loc = tuple[str | int, ...]


class ConfigError(Exception):
    """A file cannot be used. The message is one line a mistake: file, line, key, and what to do."""


@dataclass(frozen=True)
class Document:
    """Plain `values` and, for every key and item in them, the line it stands on.

    `missing`: references that lead nowhere, each with the sentence that says so; their values are the references.
    """

    name: str
    values: Any
    lines: Mapping[Loc, int]
    missing: Mapping[Loc, str] = field(default_factory=dict)

    def place(self, loc: Loc) -> str:
        """`bellwether.yaml:31 sources.zendesk.subdomain`; the nearest line known if the key itself is not there."""
        known = next((loc[:n] for n in range(len(loc), -1, -1) if loc[:n] in self.lines), ())
        return f"{self.name}:{self.lines.get(known, 1)} {_dotted(loc)}".rstrip()


def load(path: Path, *, environment: Mapping[str, str] | None = None) -> Document:
    """Read one YAML file. Without an `environment`, references in it are mistakes. Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give this user access to it") from None
    return parse(raw, name=path.name, environment=environment, root=path.parent)


def preset(name: str) -> Document | None:
    """A scorecard that ships with Bellwether, or None when there is none of that name."""
    resource = files("config").joinpath("presets", f"{name}.yaml")
    return parse(resource.read_bytes(), name=f"{name} (preset)") if resource.is_file() else None


def presets() -> tuple[str, ...]:
    """The names of the shipped scorecards."""
    entries = files("config").joinpath("presets").iterdir()
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml")))


def template(name: str) -> str:
    """A shipped text file: the starter settings or the example environment."""
    return files("config").joinpath(name).read_text(encoding="utf-8")


def parse(raw: bytes, *, name: str, environment: Mapping[str, str] | None = None, root: Path | None = None) -> Document:
    """Turn YAML text into a `Document`. Raises `ConfigError`."""
    if len(raw) > LARGEST:
        raise ConfigError(f"{name}: larger than {LARGEST:,} bytes; this cannot be a settings file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(f"{name}:{line} is not UTF-8; save the file as UTF-8") from None
    try:
        node = yaml.compose(text, Loader=_NoAliases)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        hint = next((hint for part, hint in _HINTS.items() if part in str(error.problem)), "")
        raise ConfigError(f"{name}:{line} is not valid YAML: {error.problem}{hint}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ConfigError(f"{name}:{line} {_UNPRINTABLE}") from None
    except RecursionError:
        raise ConfigError(f"{name}: is not valid YAML: it is nested more than {DEEPEST} deep") from None
    reader = _Reader(name, environment, root)
    values = reader.value(node, ()) if node else {}
    return Document(name, values, reader.lines, reader.missing)


class _NoAliases(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases (*name) are not used here; write the value out", mark)
        return super().compose_node(parent, index)


class _Reader:
    def __init__(self, name: str, environment: Mapping[str, str] | None, root: Path | None) -> None:
        self.lines: dict[Loc, int] = {(): 1}
        self.missing: dict[Loc, str] = {}  # told beside all other mistakes: a new settings file lacks several
        self._name, self._environment, self._root = name, environment, root
        self._loader = yaml.SafeLoader("")

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        self.lines.setdefault(loc, node.start_mark.line + 1)
        if len(loc) > DEEPEST:
            raise self._error(node, loc, f"is nested more than {DEEPEST} deep")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*loc, n)) for n, item in enumerate(node.value)]
        return self._scalar(node, loc)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str | int | float, Any]:
        result: dict[str | int | float, Any] = {}
        first: dict[str | int | float, int] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, loc)
            place = (*loc, key if isinstance(key, str | int) else str(key))
            if key in result:
                raise self._error(key_node, place, f"stands twice (first on line {first[key]}); keep one")
            first[key] = self.lines[place] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, place)
        return result

    def _key(self, node: yaml.Node, loc: Loc) -> str | int | float:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, loc, "has a key that is not a plain word")
        key = self._printable(node, loc, node.value) if node.tag == _STR else self._plain(node, loc)
        if not isinstance(key, str | int | float) or isinstance(key, bool):
            raise self._error(node, loc, f"has the key {_word(node.value)}; put it in quotes")
        return key

    def _scalar(self, node: yaml.Node, loc: Loc) -> Any:
        if node.tag == _STR:
            return self._printable(node, loc, self._reference(node, loc))
        return self._plain(node, loc)

    def _plain(self, node: yaml.Node, loc: Loc) -> Any:
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, ValueError):
            raise self._error(node, loc, "cannot be read; put it in quotes") from None

    def _printable(self, node: yaml.Node, loc: Loc, text: str) -> str:
        """Refuses what no file, address or database can take: control characters and halves of surrogate pairs."""
        if any(letter not in "\t\n\r" and category(letter) in ("Cc", "Cs") for letter in text):
            raise self._error(node, loc, _UNPRINTABLE)
        return text

    def _reference(self, node: yaml.Node, loc: Loc) -> str:
        found = _REFERENCE.match(node.value)
        if not found:
            return str(node.value)
        if self._environment is None:
            raise self._error(node, loc, "is a reference, which stands only in the settings file; write the value out")
        from_file, name = found.groups()
        if from_file:
            return self._file(node, loc, name)
        if not self._environment.get(name):
            told = f"needs the environment variable {name}, which is not set; set it or put it in .env"
            self.missing[loc] = str(self._error(node, loc, told))
        return self._environment.get(name) or str(node.value)

    def _file(self, node: yaml.Node, loc: Loc, name: str) -> str:
        path = Path(name) if self._root is None else self._root / name
        reason = "it is empty"
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(LARGEST).rstrip("\r\n")
        except (OSError, ValueError) as error:
            text, reason = "", getattr(error, "strerror", None) or "it is not UTF-8 text"
        if not text:
            self.missing[loc] = str(self._error(node, loc, f"needs the file {name}, which cannot be read ({reason})"))
        return text or str(node.value)

    def _error(self, node: yaml.Node, loc: Loc, message: str) -> ConfigError:
        place = f"{self._name}:{node.start_mark.line + 1} {_dotted(loc)}".rstrip()
        return ConfigError(f"{place} {message}")


def _dotted(loc: Loc) -> str:
    return ".".join(_word(str(part)) for part in loc)


def _word(key: str) -> str:
    """A key as it is shown: `token:SECRET`, with the space forgotten, is a key too."""
    found = _SHOWN.match(key)
    start = found[0] if found else ""
    return start if start == key else f"{start}…"
