"""A frozen record type as SQL columns: one source for both, so that they cannot drift apart."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, TypeAliasType, Union, get_args, get_origin, get_type_hints

SCALARS = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}


def column_types(record: type) -> dict[str, str]:
    """Return the names of a record's fields with SQL types that hold any of their values."""
    hints = get_type_hints(record)
    return {field.name: sql_type(hints[field.name]) for field in fields(record)}


def required_columns(record: type) -> list[str]:
    """Return the names of the fields that every record fills."""
    hints = get_type_hints(record)
    without_default = [field.name for field in fields(record) if field.default is MISSING]
    return [name for name in without_default if type(None) not in get_args(hints[name])]


def sql_type(hint: Any) -> str:
    """Return the SQL type that holds any value of a Python type."""
    if isinstance(hint, TypeAliasType):
        return sql_type(hint.__value__)
    return SCALARS.get(hint) or _compound(hint, get_origin(hint), get_args(hint))


def _compound(hint: Any, origin: Any, arguments: tuple[Any, ...]) -> str:
    if is_dataclass(hint) and isinstance(hint, type):
        return "STRUCT(" + ", ".join(f'"{name}" {kind}' for name, kind in column_types(hint).items()) + ")"
    if origin in (Union, types.UnionType):
        return sql_type(next(argument for argument in arguments if argument is not type(None)))
    if origin is tuple:
        return sql_type(arguments[0]) + "[]"
    if isinstance(hint, type) and issubclass(hint, tuple):  # (float, float, int) is kept as numbers of the wider kind
        return sql_type(next(iter(get_type_hints(hint).values()))) + "[]"
    if origin is Mapping:
        return f"MAP({sql_type(arguments[0])}, {sql_type(arguments[1])})"
    if origin is Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
        return "VARCHAR"
    raise TypeError(f"no SQL type for {hint}")
