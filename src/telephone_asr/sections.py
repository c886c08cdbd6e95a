"""The sections of params.yaml as classes that check what they are given, by pydantic.

Types are strict: true is no number and "1" is none, but 1 does for 1.0 and a list for a tuple. A
wrong value raises InputError with one sentence that names its key, in a file as in code:

    @section
    class Echo:
        share: Share = 0.0
        delay_ms: Range[Delay] = (50.0, 300.0)

    Echo(share=2)  # InputError: share: expected 1 or less, got 2.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass
from typing_extensions import dataclass_transform

from telephone_asr.errors import InputError

T = TypeVar("T")
NAME, WEIGHTS = TAGS = ("(name)", "(weights)")  # of what may be a text or a section


class Mismatch(ValueError):
    """A value that another one forbids: its key, what was wanted, and what was got.

    A section's __post_init__, which compares its values, raises it.
    """


def _two(value: object) -> object:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("a list of 2 values")
    return value


def _ascending(bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    if not bounds[0] <= bounds[1]:
        raise ValueError("low <= high")
    return bounds


def _apart(bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    if not bounds[0] < bounds[1]:
        raise ValueError("low < high")
    return bounds


Count = Annotated[StrictInt, Field(ge=1)]
Natural = Annotated[StrictInt, Field(ge=0)]
Share = Annotated[StrictFloat, Field(ge=0, le=1)]
Amount = Annotated[StrictFloat, Field(ge=0)]
Positive = Annotated[StrictFloat, Field(gt=0)]
Finite = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Texts = tuple[StrictStr, ...]
# Both are (low, high); those of a Span differ.
Range = Annotated[tuple[T, T], BeforeValidator(_two), AfterValidator(_ascending)]
Span = Annotated[tuple[T, T], BeforeValidator(_two), AfterValidator(_apart)]


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def section(cls: type[T]) -> type[T]:
    """Returns `cls` as a frozen dataclass that checks its values."""
    made: Any = dataclass(frozen=True, config=ConfigDict(extra="forbid"))(cls)
    names = [field.name for field in dataclasses.fields(made)]
    init = made.__init__

    @functools.wraps(init)
    def checked(self: T, *values: Any, **named: Any) -> None:
        named |= zip(names, values, strict=False)
        try:
            init(self, **named)
        except ValidationError as error:
            raise InputError(_sentence(made, error)) from None

    made.__init__ = checked
    return made


MISSING = object()  # the value of a key that a file lacks: of no type that a section asks for


def read_section(kind: type[T], tree: Any) -> T:
    """Returns a section of what was read from a file, which must have every key.

    Raises:
        InputError: "KEY: expected ..., got ...", of the first value that is wrong; of a key that
            is missing only where no value is.
    """
    try:
        return TypeAdapter(kind).validate_python(_complete(kind, tree))
    except ValidationError as error:
        raise InputError(_sentence(kind, error)) from None


def _complete(kind: Any, tree: Any) -> Any:
    """Returns `tree` with MISSING for keys that it lacks: a default in code is none for a file."""
    if not (dataclasses.is_dataclass(kind) and isinstance(tree, dict)):
        return tree
    hints = get_type_hints(kind)
    return tree | {name: _complete(hint, tree.get(name, MISSING)) for name, hint in hints.items()}


WANTED = {  # by pydantic's names of errors
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dataclass_type": "a section with keys",
    "greater_than_equal": "{ge:g} or more",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "{le:g} or less",
    "less_than": "less than {lt:g}",
    "literal_error": "{expected}",
    "value_error": "{error}",
    "missing": "a value",
}


def _sentence(kind: Any, failure: ValidationError) -> str:
    """Returns the first error as "KEY: expected ..., got ...", in the order of the fields."""
    errors = failure.errors()
    lacking = [error["type"] == "missing" or error["input"] is MISSING for error in errors]
    error: Any = errors[lacking.index(False) if False in lacking else 0]
    key, context, got = _key(error["loc"]), error.get("ctx", {}), error["input"]
    if error["type"] in ("unexpected_keyword_argument", "invalid_key"):
        for part in error["loc"][:-1]:
            kind = get_type_hints(kind)[part]
        return f"{key}: unknown key; expected one of {', '.join(get_type_hints(kind))}."
    if isinstance(context.get("error"), Mismatch):
        name, wanted, got = context["error"].args
        return f"{_key((*error['loc'], name))}: expected {wanted}, got {_shown(got)}."
    wanted = WANTED.get(error["type"], "{msg}").format(**context, msg=error["msg"])
    wanted = wanted.replace("'", "")  # around the values of a Literal
    if got is MISSING or error["type"] == "missing":
        return f"{key}: missing key; expected {wanted}."
    typed = f" ({type(got).__name__})" if error["type"].endswith("_type") else ""
    return f"{key}: expected {wanted}, got {_shown(got)}{typed}."


def _key(place: Sequence[str | int]) -> str:
    """Returns pydantic's place of an error as a dotted key, as `dvc exp run -S` takes it."""
    if place[-1:] == ("[key]",):  # of a dictionary, which is named instead
        place = place[:-2]
    parts = [f"[{p}]" if isinstance(p, int) else f".{p}" for p in place if p not in TAGS]
    return "".join(parts).removeprefix(".") or "(top level)"


def _shown(value: object) -> str:
    return repr(list(value) if isinstance(value, tuple) else value)
