"""The contract of encoded images on a disk."""

from abc import ABC, abstractmethod


class Store(ABC):
    """Encoded images by number. It holds no open file, so that any process can read from its copy."""

    @abstractmethod
    def read(self, number: int) -> bytes:
        """Return an image's bytes.

        Raises: OSError.
        """

    @abstractmethod
    def name(self, number: int) -> str:
        """Return what a user finds the image by."""

    @abstractmethod
    def size(self, number: int) -> int:
        """Return how many bytes it has."""
