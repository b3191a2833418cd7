"""Table 3: a smaller and a larger teacher of the same detector."""

from distill.detection.config import DetectionConfig
from distill.grid import Entry
from distill.reproduce import detections
from distill.reproduce.detections import DTO_KD, TASK
from distill.reproduce.experiment import Experiment, Finding, Study

# COCO 2017 val, 50 epochs, as a later paper's table has them (a reading at second hand, of its table 5).
PAPER = [
    {"name": "no distillation · nano", "ap": 40.4, "source": DTO_KD},
    {"name": "token matching · small · nano", "ap": 41.5, "source": DTO_KD},
    {"name": "token matching · base · nano", "ap": 41.9, "source": DTO_KD},
    {"name": "VkD · small · nano", "ap": 42.2, "source": DTO_KD},
    {"name": "VkD · base · nano", "ap": 43.0, "source": DTO_KD},
    {"name": "no distillation · tiny", "ap": 44.8, "source": DTO_KD},
    {"name": "token matching · small · tiny", "ap": 45.8, "source": DTO_KD},
    {"name": "token matching · base · tiny", "ap": 46.5, "source": DTO_KD},
    {"name": "VkD · small · tiny", "ap": 45.9, "source": DTO_KD},
    {"name": "VkD · base · tiny", "ap": 46.9, "source": DTO_KD},
]


def needed(config: DetectionConfig) -> list[Entry]:
    """Return token matching and VkD by each teacher, and one run without."""
    return detections.entries(["none", "token", "vkd"], detections.teachers(config), is_alone=True)


def analyse(study: Study) -> Finding:
    """Compare each teacher's student with no distillation, paired by seed."""
    return detections.finding(study, PAPER)


EXPERIMENT = Experiment("Table 3: teachers of two sizes", 3, needed, analyse, TASK)
