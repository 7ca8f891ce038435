"""What is wrong with a YAML file, in one line each: file, line, key and what to do.

No line repeats a value, for it may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from rapidfuzz import process

from config.loader import Document, Loc
from connectors.base import FIELDS
from connectors.base import Field as Ours
from sync.settings import Entry, SourceEntry

M = TypeVar("M", bound=BaseModel)


@dataclass
class Sheet:
    """A YAML document, and what is found to be wrong with it."""

    document: Document
    mistakes: list[str] = field(default_factory=list)

    def wrong(self, loc: Loc, words: str) -> None:
        """Note down what is wrong at a place."""
        self.mistakes.append(f"{self.document.place(loc)}: {words}")

    def valid(
        self,
        model: type[M],
        values: Any,
        loc: Loc = (),
        *,
        also: type[BaseModel] | None = None,
        context: tuple[Ours, ...] = FIELDS,
    ) -> M | None:
        """The model of these values; or None, with the reasons among the mistakes. `context`: the fields of records."""
        try:
            return model.model_validate(values, context=context)
        except ValidationError as error:
            self.mistakes += _lines(error, self.document, loc, model, also=also)
            return None


def in_short(mistakes: list[str]) -> str:
    more = len(mistakes) - 1
    return f"{mistakes[0]} (and {more} more: `bellwether check` names them)" if more else mistakes[0]


def shown(text: str) -> str:
    """A word from the settings, safe to show: printable and short."""
    return repr(text[:40])


def _lines(
    error: ValidationError,
    document: Document,
    prefix: Loc,
    model: type[BaseModel],
    also: type[BaseModel] | None = None,
) -> Iterator[str]:
    for mistake in error.errors(include_url=False, include_input=False, include_context=False):
        loc = _known(prefix + mistake["loc"], document)
        if loc in document.missing:
            continue  # there is nothing to judge yet
        if mistake["type"] == "extra_forbidden" and loc[0] == "destinations" and loc[2:] in _OF_SOURCES:
            yield f"{document.place(loc)}: belongs to a source; a destination is read as often as accounts.every says"
        elif mistake["type"] == "extra_forbidden":
            yield f"{document.place(loc)}: there is no such setting{_nearest(mistake['loc'], model, also)}"
        elif _value(loc, document) is None:
            yield f"{document.place(loc)}: is empty; write a value, or take the key out"
        elif mistake["type"] == "missing":
            yield f"{document.place(loc)}: is missing; add it"
        else:
            yield f"{document.place(loc)}: {_in_words(mistake['type'], mistake['msg'])}"


def _value(loc: Loc, document: Document) -> Any:
    """What stands at a place, None where it is empty; something where the place is not there."""
    found = document.values
    for part in loc:
        if not isinstance(found, dict) or part not in found:
            return ...
        found = found[part]
    return found


def _known(loc: Loc, document: Document) -> Loc:
    """`loc` without what pydantic adds for unions, validators and a list of one, which stands in no file."""
    kept: Loc = ()
    for n, part in enumerate(loc):
        added = part == "[key]" or (isinstance(part, int) and isinstance(_value(kept, document), str))
        if (*kept, part) in document.lines or (n == len(loc) - 1 and not added):
            kept = (*kept, part)
    return kept


_OF_SOURCES = {(name,) for name in SourceEntry.model_fields if name not in Entry.model_fields}
_WORDS = {
    "dict_type": "needs keys with values below it",
    "model_type": "needs keys with values below it",
    "model_attributes_type": "needs keys with values below it",
    "list_type": "needs a list, like [a, b]",
    "tuple_type": "needs a word, or a list like [a, b]",
    "string_too_short": "is empty; write something there",
    "too_short": "is empty; write something there",
    "string_type": "needs a word; put it in quotes",
    "int_type": "needs a whole number",
    "int_parsing": "needs a whole number",
    "int_from_float": "needs a whole number",
    "float_type": "needs a number",
    "float_parsing": "needs a number, without a unit or %",
    "bool_type": "needs true or false",
    "bool_parsing": "needs true or false",
    "string_pattern_mismatch": "has a form that is not allowed here; the documentation of this setting says which is",
}


def _in_words(kind: str, message: str) -> str:
    text = _WORDS.get(kind) or message.removeprefix("Value error, ").replace("Input should be", "has to be")
    text = text.replace("String should have", "has to have")
    return f"{text[:1].lower()}{text[1:]}"


def _nearest(loc: Loc, model: type[BaseModel], also: type[BaseModel] | None) -> str:
    """The settings there are beside a wrong one, at its own depth."""
    word, inner = str(loc[-1]), _model_at(model, loc[:-1])
    fields = [field.alias or name for name, field in inner.model_fields.items()]
    if also and len(loc) == 1:
        fields += also.model_fields
    found = process.extractOne(word, fields, score_cutoff=70)
    return f"; did you mean {found[0]}?" if found else f" (there are: {', '.join(fields)})"


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel]:
    """The model that a path leads to, through fields, lists and mappings of models."""
    for part in loc:
        by_name = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        if part in by_name:
            model = next(_models_in(by_name[str(part)]), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
