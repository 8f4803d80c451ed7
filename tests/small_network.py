"""The network of tests that are about something else: what they pay for is the number of its layers, whatever width."""

from unpaired.networks.unet import UNetConfig

LAYERS = ("encoder1", "encoder2")
"""Its feature maps, for methods that compare or look at some."""
SMALL = UNetConfig(width=2, widest=4, blocks=(1, 1), norm="batch")
"""Two stages of a block. The FCN of the papers, which can't be made shallower, has four times as many layers."""
