"""What an event may be called."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

FACT_NAME = r"^[A-Za-z0-9_]+([.][A-Za-z0-9_-]+)*$"
LONGEST = 64
FORM = "words joined by dots, like feature.export"


def _named(name: str) -> str:
    if len(name) > LONGEST or not re.fullmatch(FACT_NAME, name):
        raise ValueError("a name is words of a-z, 0-9 and _ joined by dots, like feature.export")
    return name


FactName = Annotated[str, AfterValidator(_named)]
