"""The run-time checker of annotations and tensor shapes, switched on in tests alone (see pyproject.toml)."""

from beartype import BeartypeConf, beartype

# An int is a float here, as it is for pyright (PEP 484's numeric tower).
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
