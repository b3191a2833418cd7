"""The paper's tables and figures as experiments; each is one file and one line here.

Source: Miles, Elezi & Deng, "VkD: Improving Knowledge Distillation using Orthogonal Projections", CVPR 2024.
"""

from distill.reproduce import (
    fig3,
    fig4,
    fig5,
    fig6,
    fig7,
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
    table6_generation,
)
from distill.reproduce.experiment import Experiment
from distill.reproduce.run import reproduce
from stiefel.errors import UnknownNameError

__all__ = ["EXPERIMENTS", "RECIPES", "get", "reproduce"]

# Short names, by task: the paper's students on ImageNet and COCO; its GANs, whose images and budget the tables scale.
RECIPES: dict[str, dict[str, str]] = {
    "classification": {"imagenet": "imagenet/deit_ti_vkd"},
    "detection": {"coco": "coco/vidt_nano_vkd"},
    "generation": {"cifar10": "cifar10/20", "cifar100": "cifar100/20", "fewshot": "few_shot/faces"},
}

EXPERIMENTS: dict[str, Experiment] = {
    "table1": table1.EXPERIMENT,
    "table2": table2.EXPERIMENT,
    "table3": table3.EXPERIMENT,
    "table4": table4.EXPERIMENT,
    "table5": table5.EXPERIMENT,
    "table6": table6.EXPERIMENT,
    "table6-generation": table6_generation.EXPERIMENT,
    "fig3": fig3.EXPERIMENT,
    "fig4": fig4.EXPERIMENT,
    "fig5": fig5.EXPERIMENT,
    "fig6": fig6.EXPERIMENT,
    "fig7": fig7.EXPERIMENT,
}


def get(name: str) -> Experiment:
    """Return the experiment called `name`.

    Raises: UnknownNameError with the valid names.
    """
    if name not in EXPERIMENTS:
        raise UnknownNameError("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]
