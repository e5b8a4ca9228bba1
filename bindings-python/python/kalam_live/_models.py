"""Rows as objects of the caller's own classes."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from kalam_live._native import Row, RowList

T = TypeVar("T")
L = TypeVar("L", bound="RowList[Any]")


def apply(rows: L, model: type[Any] | None) -> L:
    """The rows, as models where one is given."""
    convert = converter(model)
    return rows if convert is None else rows._with_model(convert)


def converter(model: type[T] | None) -> Callable[[Row], T] | None:
    """A function that makes a ``model`` of a row.

    A dataclass or a NamedTuple takes the columns that it has fields for, a TypedDict the row as a dict, and a pydantic
    model (anything with ``model_validate``) validates that dict.
    """
    if model is None:
        return None
    if not isinstance(model, type):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"model must be a class, not {type(model).__name__}")
    if typing.is_typeddict(model) or model is dict:
        return typing.cast("Callable[[Row], T]", Row.asdict)
    validate: Callable[[dict[str, Any]], T] | None = getattr(model, "model_validate", None)
    if validate is not None:
        return lambda row: validate(row.asdict())
    if dataclasses.is_dataclass(model):
        fields = dataclasses.fields(model)
        absent = (dataclasses.MISSING, dataclasses.MISSING)
        optional = {field.name for field in fields if (field.default, field.default_factory) != absent}
        return _from_fields(model, [field.name for field in fields if field.init], optional)
    names: tuple[str, ...] | None = getattr(model, "_fields", None)
    if names is not None:
        defaults: dict[str, object] = getattr(model, "_field_defaults", {})
        return _from_fields(model, list(names), set(defaults))
    raise TypeError(f"model must be a dataclass, NamedTuple, TypedDict or pydantic model, not {model.__name__}")


def _from_fields(model: Callable[..., T], names: list[str], optional: set[str]) -> Callable[[Row], T]:
    def make(row: Row) -> T:
        return model(**{name: row[name] for name in names if name not in optional or name in row})

    return make
