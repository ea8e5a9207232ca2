"""JSON from outside, accepted only if it is unambiguous."""

import json
import math
from typing import Any, NoReturn


def loads(body: bytes) -> Any:
    """Parse UTF-8 JSON; raises ValueError for anything doubtful.

    Besides invalid JSON that is: duplicate keys, NaN, Infinity and numbers as good as
    infinite, integers of thousands of digits, and nesting deeper than the parser can follow.
    """
    try:
        return json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # 1e999
        raise ValueError("a number is too large")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
