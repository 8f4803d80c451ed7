"""Where two JSON documents differ: what a run folder says when another recipe is to be trained into it."""

from typing import Any

from unpaired.files import is_object


def first_difference(stored: Any, wanted: Any, where: str) -> str | None:
    """The first field in which two JSON values differ, such as "recipe.steps is 2 there and 3 here"; None if in none.

    `where` names the whole document. Of an object its "type" is compared first: another class says most.
    """
    if is_object(stored) and is_object(wanted):
        for key in sorted(set(stored) | set(wanted), key=lambda key: (key != "type", key)):
            difference = first_difference(stored.get(key), wanted.get(key), f"{where}.{key}")
            if difference:
                return difference
        return None
    return None if stored == wanted else f"{where} is {stored!r} there and {wanted!r} here"
