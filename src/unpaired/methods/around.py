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
        """That of the other method, which owns it."""
        return self.method.network

    @property
    def further_networks(self) -> tuple[Network, ...]:
        """Those of the other method."""
        return self.method.further_networks

    def after_step(self) -> None:
        """What the other method does then."""
        self.method.after_step()
