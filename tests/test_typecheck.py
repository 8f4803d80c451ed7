"""The checks of shapes and types that run beneath all tests refuse what they should, the second time as the first."""

from dataclasses import dataclass

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError
from torch import Tensor

import typecheck

decorated = typecheck.by_shape_or_type(typechecker=typecheck.checked)


def added(first: Float[Tensor, "row column"], second: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
    return first + second


def flattened(image: Float[Tensor, "row column"], whole: bool) -> Float[Tensor, "row column"]:
    return image if whole else image.flatten()


def repeated(times: int) -> Float[Tensor, "{times} 2"]:
    return torch.zeros(3, 2)


def halved(number: float) -> float:
    return number / 2


def test_shapes_of_arguments_are_compared_with_each_other_each_time() -> None:
    checked = decorated(added)
    for _ in range(2):
        assert checked(torch.zeros(2, 3), torch.zeros(2, 3)).shape == (2, 3)
        with pytest.raises(TypeCheckError):
            checked(torch.zeros(2, 3), torch.zeros(1, 3))
        with pytest.raises(TypeCheckError):
            checked(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64))


def test_what_is_returned_is_checked_where_only_it_differs() -> None:
    checked = decorated(flattened)
    assert checked(torch.zeros(2, 3), True).shape == (2, 3)
    for _ in range(2):
        with pytest.raises(TypeCheckError):
            checked(torch.zeros(2, 3), False)


def test_a_number_that_a_shape_names_counts() -> None:
    checked = decorated(repeated)
    assert checked(3).shape == (3, 2)
    with pytest.raises(TypeCheckError):
        checked(4)


def test_types_are_checked_where_there_is_no_shape() -> None:
    checked = decorated(halved)
    assert checked(3) == 1.5
    with pytest.raises(BeartypeCallHintViolation):
        checked("3")

    @decorated
    @dataclass
    class Named:
        name: str

    assert Named("a").name == "a"
    with pytest.raises(BeartypeCallHintViolation):
        Named(1)  # type: ignore[arg-type]


def test_the_package_is_checked() -> None:
    from unpaired.methods.losses import soft_dice_loss
    from unpaired.statistics import smallest_p

    with pytest.raises(BeartypeCallHintViolation):
        smallest_p("six")  # type: ignore[arg-type]
    with pytest.raises(TypeCheckError):
        soft_dice_loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4), None)  # type: ignore[arg-type]
