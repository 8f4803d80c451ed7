"""The base of methods that train another method's network further, such as with unlabeled images."""

from unpaired.methods.method import Method
from unpaired.networks.network import Network


class Around(Method):
    """A method that holds another: the network is the other's, and what the other does after a step is done."""

    needs_unlabeled = True
    takes_unlabeled = True

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    @property
    def network(self) -> Network:  # type: ignore[override]
        """The network that the other method trains, and owns."""
        return self.method.network

    @property
    def further_networks(self) -> tuple[Network, ...]:
        """Networks besides `network` that the other method trains from the same pre-trained weights."""
        return self.method.further_networks

    @property
    def caution(self) -> str:  # type: ignore[override]
        """That of the other method."""
        return self.method.caution

    @property
    def compares_unlabeled(self) -> bool:  # type: ignore[override]
        """Whether the other method does."""
        return self.method.compares_unlabeled

    @property
    def sums(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the other method."""
        return self.method.sums

    def after_step(self) -> None:
        """Let the other method do what it does after an optimizer step."""
        self.method.after_step()
