"""The limit of `read`: FastAPI that answers the same each time, as long as what Planner answers."""

import json
import os
from typing import Any

from fastapi import FastAPI

CONTENT: dict[str, Any] = json.loads(os.environ["CONTENT"])

app = FastAPI()


@app.get("/")
async def constant() -> dict[str, Any]:
    return CONTENT
