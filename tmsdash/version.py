"""Which version of the product this is."""

import tomllib
from functools import cache

from django.conf import settings


@cache
def product_version() -> str:
    """Return the version of the product, as pyproject.toml has it."""
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])
