"""Entries: what a document may hold, key by key, and pydantic's findings as one line each.

An `Entry` is a mapping of a file; `parse` turns plain data into entries, or any other type that pydantic reads, and
every mistake into a line with the file, the key path, what was expected and what was found. Numbers have ranges: what
a file gives can be counted, added and multiplied without an overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError
from pydantic import model_validator as _model_validator

from ..errors import MOST_LINES, InputError, nearest, shown
from .document import key_path

Parsed = TypeVar("Parsed")

MAX_COUNT = 10_000  # entries of a list, or what an entry stands for: more is a mistake
MAX_NODES = 2_000  # of a whole cluster, swarm or case: tables of links have the square of it
MAX_BLOCKS = 2_000  # of a model: no search looks at more in a time that people wait
LARGEST, SMALLEST = 1e30, 1e-30  # of what is measured: beyond any machine, and far from overflow in products


class Entry(BaseModel):
    """A mapping of a file: unknown keys are refused, with the nearest valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @_model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: object) -> object:
        if isinstance(data, dict):
            known = {field.alias or name for name, field in cls.model_fields.items()}
            for key in data:
                if key not in known:
                    hint = nearest(str(key), known) or f" (known: {', '.join(sorted(known))})"
                    raise ValueError(f"unknown key {shown(key)}{hint}")
        return data


def printable(text: str) -> str:
    """Return a text without control characters as it is; raise `ValueError` for any other."""
    if not text.isprintable():
        raise ValueError(f"expected text without control characters, got {shown(text)}")
    return text


Number: Any = Annotated[float, Field(strict=True, ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
NonNegativeNumber: Any = Annotated[float, Field(strict=True, ge=0.0, le=LARGEST, allow_inf_nan=False)]
PositiveNumber: Any = Annotated[float, Field(strict=True, ge=SMALLEST, le=LARGEST, allow_inf_nan=False)]
Probability: Any = Annotated[float, Field(strict=True, ge=SMALLEST, le=1.0, allow_inf_nan=False)]
Count: Any = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]
PositiveInt: Any = Annotated[int, Field(strict=True, ge=1, le=10**12)]
NonNegativeInt: Any = Annotated[int, Field(strict=True, ge=0, le=10**12)]
Index: Any = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Text: Any = Annotated[str, Field(strict=True, max_length=2000), AfterValidator(printable)]
Name: Any = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=200, pattern=r"^\S+( +\S+)*$"),
    AfterValidator(printable),
]
Bool = StrictBool


def unused(description: str) -> Any:
    """Return the field of a key that such files have and that decides nothing here; any value will do."""
    return Field(default=None, description=f"not used: {description}")


def parse(kind: type[Parsed], data: object, where: str) -> Parsed:
    """Check plain data against a type.

    Parameters
    ----------
    kind : type
        An `Entry`, a dataclass, or anything else that pydantic reads.
    data : object
        What YAML or JSON gave.
    where : str
        File (and line, or key path) for error messages.

    Raises
    ------
    InputError
        One line per mistake, five at most: file, key path, what was expected, what was found.
    """
    try:
        checked: Parsed = _adapter(_any(kind)).validate_python(data)
    except ValidationError as error:
        raise input_error(error, where) from None
    return checked


def ensure_different(names: Sequence[str], where: str, what: str) -> None:
    """Refuse a name that two entries have; `what` is the key that names them."""
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if first.setdefault(name, number) != number:
            raise InputError(f"the {what} '{name}' is used twice ([{first[name]}] too)", f"{where}[{number}]")


def json_schema(kind: type[Any], title: str) -> dict[str, Any]:
    """Return the JSON schema of a type under the name of the file that it describes."""
    schema = _adapter(_any(kind)).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def _any(kind: Any) -> Any:
    return kind


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def input_error(error: ValidationError, where: str) -> InputError:
    """Return pydantic's findings as one line each, with the file, the key path and the value."""
    found = error.errors(include_url=False)
    lines: dict[tuple[str, str], None] = {}
    for number, item in enumerate(found):
        lines.setdefault(_line(item))
        if len(lines) == MOST_LINES:
            return InputError.several(tuple(lines), where, len(found) - number - 1)
    return InputError.several(tuple(lines), where)


def _line(item: Any) -> tuple[str, str]:
    path: Sequence[str | int] = item["loc"]
    return key_path(part for part in path if part not in ("[key]", "str", "int")), _message(item)


def _message(item: Any) -> str:
    kind, value, context = str(item["type"]), shown(item.get("input")), item.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "literal_error":
        hint = nearest(value.strip("'"), [word.strip("' ") for word in str(context["expected"]).split(" or ")])
        return f"expected {context['expected']}, got {value}{hint}"
    expected = _EXPECTED.get(kind)
    if callable(expected):
        expected = expected(context)
    return f"expected {expected}, got {value}" if expected else f"{item['msg']}, got {value}"


def _bound(context: dict[str, Any], key: str, side: str) -> str:
    """Say a bound: of whole numbers as it is, of others as 'above 0' where it stands for that."""
    bound = context.get(key)
    if isinstance(bound, int):
        return f"a whole number of {side} {bound}"
    return "a number above 0" if bound == SMALLEST else f"a number of {side} {bound:g}"


_PLAIN = {
    "missing": "this key is missing",
    "unexpected_keyword_argument": "unknown key",
    "extra_forbidden": "unknown key",
}
_EXPECTED: dict[str, str | Callable[[dict[str, Any]], str]] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text (quote it)",
    "string_too_short": "text",
    "string_too_long": lambda context: f"at most {context.get('max_length')} characters",
    "string_pattern_mismatch": "text without line breaks, tabs, or spaces at its ends",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "too_short": lambda context: f"at least {context.get('min_length')} of them",
    "too_long": lambda context: f"at most {context.get('max_length')} of them",
    "greater_than_equal": lambda context: _bound(context, "ge", "at least"),
    "less_than_equal": lambda context: _bound(context, "le", "at most"),
}
