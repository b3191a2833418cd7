"""What ranks runs: its name, how it is written, and which way is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A figure of `Task.evaluate`.

    name: its key. label: what a reader calls it. is_share: whether it is written in per cent. is_higher_better: as
    accuracy is, and a distance isn't.
    """

    name: str
    label: str
    is_share: bool = False
    is_higher_better: bool = True

    @property
    def scale(self) -> float:
        """What a value is multiplied by to be written."""
        return 100.0 if self.is_share else 1.0

    @property
    def digits(self) -> int:
        """Decimals of a value as it is written."""
        return 2 if self.is_share else 3

    @property
    def unit(self) -> str:
        """What stands behind a value in a sentence, its space before it."""
        return " %" if self.is_share else f" {self.label}"

    @property
    def header(self) -> str:
        """The label with its unit, above a column or along an axis."""
        return f"{self.label}{self.of_gains}"

    @property
    def of_gains(self) -> str:
        """The unit behind the name of a column."""
        return ", %" if self.is_share else ""

    def said(self, value: float) -> str:
        """Return a value as a sentence says it."""
        return f"{self.scale * value:.{self.digits}f}{self.unit}"

    def gain(self, value: float, over: float) -> float:
        """Return how much better a value is than another: above 0 is better, whichever way that is."""
        return value - over if self.is_higher_better else over - value


ACCURACY = Metric("accuracy", "accuracy", is_share=True)
