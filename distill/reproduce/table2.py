"""Table 2: detectors with VkD, with ViDT's token matching by the same teacher, and without distillation."""

from distill.detection.config import DetectionConfig
from distill.grid import Entry
from distill.reproduce import detections
from distill.reproduce.detections import DTO_KD, TASK, VIDT, VKD
from distill.reproduce.experiment import Experiment, Finding, Study

# COCO 2017 val, 50 epochs, one run each. Not all learned from the same teacher: ViDT's token matching from a ViDT-base
# of 50 epochs (49.4 AP), VkD's released commands from one of 150 (50.4 AP).
PAPER = [
    {"name": "no distillation · nano", "ap": 40.4, "source": VIDT},
    {"name": "no distillation · tiny", "ap": 44.9, "source": VIDT},
    {"name": "no distillation · small", "ap": 47.4, "source": VIDT},
    {"name": "token matching · nano", "ap": 41.8, "source": VIDT},
    {"name": "token matching · tiny", "ap": 46.6, "source": VIDT},
    {"name": "token matching · small", "ap": 49.2, "source": VIDT},
    {"name": "VkD · nano", "ap": 43.0, "source": VKD},
    {"name": "VkD · tiny", "ap": 46.9, "source": VKD},
    {"name": "VkD · small", "ap": 48.5, "source": DTO_KD},
]


def needed(config: DetectionConfig) -> list[Entry]:
    """Return the three methods for every student."""
    return detections.entries(["none", "token", "vkd"], detections.students(config), is_alone=False)


def analyse(study: Study) -> Finding:
    """Compare each method with no distillation, paired by seed."""
    return detections.finding(study, PAPER)


EXPERIMENT = Experiment("Table 2: detectors, by what they learn from their teacher", 3, needed, analyse, TASK)
