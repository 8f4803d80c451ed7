"""Instance norms by group norm's kernel say what torch's say, with the same gradients."""

import pytest
import torch
from torch import Tensor, nn

from unpaired.networks.norm_kernels import GROUP_KERNELS, use_group_kernels


@pytest.mark.parametrize(("norm", "size"), [(nn.InstanceNorm2d, (5, 6)), (nn.InstanceNorm3d, (3, 5, 4))])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{"affine": True}, {}, {"affine": True, "track_running_stats": True}])
def test_values_and_gradients_are_those_of_torch(norm: type[nn.Module], size, training: bool, options) -> None:
    torch.manual_seed(0)
    results: list[list[Tensor]] = []
    layers = [norm(4, **options).double().train(training) for _ in range(2)]
    use_group_kernels(layers[1])
    assert type(layers[1]) is GROUP_KERNELS[norm]
    values = 3 + 2 * torch.randn(2, 4, *size, dtype=torch.float64)
    weights = torch.randn_like(values)
    for layer in layers:
        with torch.no_grad():
            for place, parameter in enumerate(layer.parameters(), start=1):
                parameter.copy_(torch.linspace(0.5, 1.5, 4) * place)
        maps = values.clone().requires_grad_()
        out = layer(maps)
        (out * weights).sum().backward()
        gradients = [parameter.grad for parameter in layer.parameters()]
        results.append([out.detach(), maps.grad, *gradients, *layer.buffers()])
    assert layers[0].state_dict().keys() == layers[1].state_dict().keys()
    torch.testing.assert_close(results[0], results[1])


def test_other_classes_stay_what_they_are() -> None:
    class Derived(nn.InstanceNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) + 1

    stack = nn.Sequential(nn.InstanceNorm2d(4), Derived(4), nn.BatchNorm2d(4))
    use_group_kernels(stack)
    assert [type(layer) for layer in stack] == [GROUP_KERNELS[nn.InstanceNorm2d], Derived, nn.BatchNorm2d]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_channels_stay_last(dtype: torch.dtype, training: bool) -> None:
    norm = nn.InstanceNorm3d(4, affine=True)
    use_group_kernels(norm)
    torch.manual_seed(0)
    maps = torch.randn(2, 4, 3, 5, 6).to(dtype)
    with torch.set_grad_enabled(training):
        last = norm(maps.contiguous(memory_format=torch.channels_last_3d))
        usual = norm(maps)
    assert last.is_contiguous(memory_format=torch.channels_last_3d)
    assert usual.is_contiguous()
    torch.testing.assert_close(last, usual)
