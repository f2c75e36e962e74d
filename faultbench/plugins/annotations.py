"""Types and values of options, read from source without running any of it.

The source of a plug-in may come from anywhere. So it is passed neither to pydantic, which evaluates annotations that
are texts, nor to `eval`. Only the forms below are understood.
"""

import ast
from typing import Annotated, Any, Literal, Union

from pydantic import Field

_PLAIN = {"int": int, "float": float, "bool": bool, "str": str, "list": list, "tuple": tuple, "dict": dict}

_CONSTRAINTS = {"ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern"}
"""Constraints of `Field` that are understood."""

_UNDERSTOOD = "int, float, bool, str, list, tuple, dict, None, Literal, X | Y and Annotated with Field"


def read_type(node: ast.expr) -> Any:
    """Return the type that an annotation spells. ValueError if its form is not understood."""
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Name(id=name) if name in _PLAIN:
            return _PLAIN[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[read_type(left), read_type(right)]  # noqa: UP007 - `|` takes no two Nones
        case ast.Subscript(value=head, slice=arguments):
            items = arguments.elts if isinstance(arguments, ast.Tuple) else [arguments]
            return _read_subscript(last_name(head), items, node)
    raise _form_error(node)


def read_value(node: ast.expr) -> Any:
    """Return the value that a literal spells. ValueError if it would have to be computed."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError) as error:  # TypeError: a list as a key
        raise ValueError(f"{ast.unparse(node)} is not a literal, such as 8 or 'layer'") from error


def last_name(node: ast.expr) -> str:
    """Return the last part of a name: `model` for both `model` and `registry.model`. Empty for other expressions."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _read_subscript(head: str, arguments: list[ast.expr], node: ast.expr) -> Any:
    match head:
        case "Literal":
            return Literal[tuple(_constant(argument) for argument in arguments)]
        case "Annotated" if len(arguments) > 1:
            return Annotated[(read_type(arguments[0]), *map(_constraint, arguments[1:]))]
        case "list" | "tuple" | "dict":
            return _PLAIN[head][tuple(_member(argument) for argument in arguments)]  # type: ignore[index]  # all three are generic
    raise _form_error(node)


def _member(node: ast.expr) -> Any:
    is_ellipsis = isinstance(node, ast.Constant) and node.value is ...
    return ... if is_ellipsis else read_type(node)


def _constant(node: ast.expr) -> str | int | bool | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | None):
        return node.value
    raise _form_error(node)


def _constraint(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and last_name(node.func) == "Field" and not node.args:
        constraints = {str(keyword.arg): keyword.value for keyword in node.keywords}
        if constraints.keys() <= _CONSTRAINTS:
            return Field(**{name: read_value(value) for name, value in constraints.items()})
    raise _form_error(node)


def _form_error(node: ast.expr) -> ValueError:
    return ValueError(f"{ast.unparse(node)} cannot be read from source as a type; write it with {_UNDERSTOOD}")
