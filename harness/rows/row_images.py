"""The finished images of a row, and what they are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from ..data import ImageSet, Stimuli


@dataclass(frozen=True)
class RowImages:
    """Finished images of one row, trial and sample, and what they are compared with.

    All have the same ids in the same order.

    measured : the reconstructions from measured responses to compare with, None for a row without any.
    redrawn : the same with other noise of the decoder, where it draws any, else `measured`.
    rendered : what the decoder's generator makes of the true stimuli, where it can.
    against_stimuli : False for images that another row has already, here for another measured target.
    """

    row: str
    trial: int
    sample: int
    images: ImageSet
    stimuli: Stimuli
    measured: ImageSet | None
    redrawn: ImageSet | None = None
    rendered: ImageSet | None = None
    against_stimuli: bool = True

    def target(self, name: str, *, independent: bool = False) -> ImageSet | None:
        """What `name` stands for; `independent` of the noise that the row was drawn with."""
        if name == "stimulus":
            return self.stimuli if self.against_stimuli else None
        return self.redrawn if independent else self.measured

    def all(self) -> list[ImageSet]:
        """Every set of images here, for those who look at them all."""
        every = (self.images, self.stimuli, self.measured, self.redrawn, self.rendered)
        return [stimuli for stimuli in every if stimuli is not None]
