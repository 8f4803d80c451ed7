"""Hostile copies of JSON, CSV and binary documents, from a random generator."""

import json
from typing import Any

import numpy as np

VALUES: tuple[Any, ...] = (
    None,
    "",
    0,
    -1,
    1.5,
    1e308,
    -(2**63),
    2**70,
    True,
    [],
    {},
    [[]],
    {"": None},
    ":",
    ".x:y",
    "..x:y",
    "os:system",
    "unpaired.recipe:Recipe",
    "../../../../etc/passwd",
    "/",
    "/dev/zero",
    "\0",
    "\n",
    "\x1b[2J",
    "\ud800",
    "=1+1",
    "$x^2_{$",
    "\\frac{",
    "<script>alert(1)</script>",
    "é" * 300,
    "a" * 5000,
    "nan",
    "NaN",
    "train",
    [1, "a", None],
    {"a": {"b": [1]}},
)
RAW = (
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"9" * 5000,
    b"1e999",
    b"[" * 2000,
    b'{"a":' * 2000,
    b"\xff\xfe",
    b"\xef\xbb\xbf",
)
"""What JSON has no value for, put in place of one."""
CELLS = (
    "",
    "nan",
    "-1",
    "1e999",
    "=cmd()",
    "\0",
    '"',
    "\n",
    ",",
    "a" * 5000,
    "é",
    "../x",
    "/dev/zero",
    "$x_",
    "\x1b[2J",
)


def mutated(content: bytes, suffix: str, rng: np.random.Generator) -> bytes:
    """A hostile copy; documents by their structure more often than by their bytes."""
    structured = rng.random() < 0.75
    if suffix == ".json" and structured:
        return _json(content, rng)
    if suffix in (".csv", ".tsv") and structured:
        return _table(content, "," if suffix == ".csv" else "\t", rng)
    return _bytes(content, rng)


def _json(content: bytes, rng: np.random.Generator) -> bytes:
    document = json.loads(content)
    if rng.random() < 0.25:  # a value that only text can hold
        mark = '"@@here@@"'
        _put(document, rng, "@@here@@")
        text = json.dumps(document).encode()
        return text.replace(mark.encode(), RAW[rng.integers(len(RAW))], 1)
    for _ in range(rng.integers(1, 4)):
        document = _changed(document, rng)
    return json.dumps(document).encode()


def _places(value: Any, above: Any = None, key: Any = None) -> list[tuple[Any, Any]]:
    places = [] if above is None else [(above, key)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for inner, item in items:
        places += _places(item, value, inner)
    return places


def _put(document: Any, rng: np.random.Generator, value: Any) -> None:
    places = _places(document)
    if places:
        above, key = places[rng.integers(len(places))]
        above[key] = value


def _changed(document: Any, rng: np.random.Generator) -> Any:
    places = _places(document)
    kind = rng.choice(["value", "value", "remove", "rename", "copy", "other", "whole"])
    if not places or (kind == "whole" and rng.random() < 0.3):
        return VALUES[rng.integers(len(VALUES))]
    above, key = places[rng.integers(len(places))]
    value = VALUES[rng.integers(len(VALUES))]
    if kind == "remove":
        del above[key]
    elif kind == "rename" and isinstance(above, dict):
        above[str(value)[:200]] = above.pop(key)
    elif kind == "copy" and isinstance(above, list):
        above.append(above[key])
    elif kind == "other":  # a sound value in another's place
        other, where = places[rng.integers(len(places))]
        above[key] = json.loads(json.dumps(other[where]))
    else:
        above[key] = value
    return document


def _table(content: bytes, between: str, rng: np.random.Generator) -> bytes:
    rows = [line.split(between) for line in content.decode().splitlines()]
    for _ in range(rng.integers(1, 4)):
        if not rows:
            break
        row = int(rng.integers(len(rows)))
        kind = rng.choice(["cell", "cell", "drop row", "drop cell", "more", "copy"])
        if kind == "cell" and rows[row]:
            rows[row][rng.integers(len(rows[row]))] = CELLS[rng.integers(len(CELLS))]
        elif kind == "drop row":
            del rows[row]
        elif kind == "drop cell" and rows[row]:
            del rows[row][rng.integers(len(rows[row]))]
        elif kind == "more":
            rows[row].append(CELLS[rng.integers(len(CELLS))])
        else:
            rows.append(list(rows[row]))
    return "\n".join(between.join(row) for row in rows).encode() + b"\n"


def _bytes(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    kind = rng.choice(["bits", "cut", "splice", "insert", "empty", "zeros"], p=[0.35, 0.2, 0.15, 0.15, 0.05, 0.1])
    place = int(rng.integers(max(len(content), 1)))
    if kind == "bits":
        for _ in range(rng.integers(1, 6)):
            changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
    elif kind == "cut":
        del changed[place:]
    elif kind == "splice":
        other, length = int(rng.integers(len(content))), int(rng.integers(1, 80))
        changed[place : place + length] = content[other : other + length]
    elif kind == "insert":
        changed[place:place] = rng.bytes(int(rng.integers(1, 20)))
    elif kind == "zeros":
        changed[place : place + 64] = bytes(len(changed[place : place + 64]))
    else:
        changed.clear()
    return bytes(changed)
