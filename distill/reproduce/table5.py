"""Table 5: are a distilled GAN's samples good, various, or both: precision, recall, diversity of table 4's runs."""

from distill.reproduce import generated
from distill.reproduce.experiment import Experiment, Finding, Study
from distill.reproduce.measured import difference

# VkD's claim is that whitening needs no diversity loss of its own: recall and diversity are where that would show.
KEYS = {"precision": "precision", "recall": "recall", "diversity": "diversity"}


def analyse(study: Study) -> Finding:
    """Compare VkD's recall and diversity with the others' at every fraction, paired by seed."""
    said = [
        difference(key.capitalize(), "VkD", f"{over} at {100 * fraction:g} %", value, digits=3)
        for key in ("recall", "diversity")
        for method, over in generated.SHOWN.items()
        if method != "vkd_whiten"
        # How far the other is below VkD: VkD minus the other.
        for fraction, value in generated.below(study, method, "vkd_whiten", key).items()
    ]
    figures = {"runs": generated.as_json(study, [*KEYS, "diversity_real", "effective_rank", "effective_rank_real"])}
    said.append(generated.samples(study))
    return Finding(figures, generated.by_fraction(study, KEYS), said, generated.picture(study, KEYS))


EXPERIMENT = Experiment(
    "Table 5: precision, recall and diversity", 3, generated.needed, analyse, generated.TASK, ("data.fraction",)
)
