"""One network that segments every modality you have, trained on scans of different patients."""

__version__ = "0.1.0"
