"""Table 4: the Fréchet distance of every method, by how many of the images a GAN learns from."""

from distill.generation.teachers import distance_label
from distill.reproduce import generated
from distill.reproduce.experiment import Experiment, Finding, Study


def analyse(study: Study) -> Finding:
    """Compare VkD with no distillation and with KD-DLGAN at every fraction, paired by seed."""
    figures = {"distance": distance_label(study.config), "runs": generated.as_json(study, ["fid", "kid"])}
    keys = {"fid": "Fréchet distance"}
    said = [*generated.sentences(study), generated.samples(study), *study.comparison.notes]
    return Finding(figures, generated.by_fraction(study, keys), said, generated.picture(study, keys))


EXPERIMENT = Experiment(
    "Table 4: Fréchet distance by fraction of the images",
    3,
    generated.needed,
    analyse,
    generated.TASK,
    ("data.fraction",),
)
