"""Runs in an environment with Argilla's server: the real one on SQLite, without Elasticsearch and Redis.

    python argilla_process.py FOLDER PORT REDIS_PORT KEY

The index for searching and the queue of background jobs are stood in for: neither is needed to take records
and responses, keep them in the database, and give them back.
"""

import asyncio
import os
import sys
import threading

from fakeredis import TcpFakeServer

folder, port, redis_port, key = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
queue = TcpFakeServer(("127.0.0.1", redis_port), server_type="redis")
threading.Thread(target=queue.serve_forever, daemon=True).start()
os.environ |= {
    "ARGILLA_HOME_PATH": folder,
    "ARGILLA_SEARCH_ENGINE": "stand-in",
    "ARGILLA_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
    "ARGILLA_ENABLE_TELEMETRY": "0",
    "HF_HUB_OFFLINE": "1",
}

import alembic.config  # noqa: E402 - the settings are read when the server is imported
import uvicorn  # noqa: E402
from argilla_server.cli.database.users.create_default import _create_default  # noqa: E402
from argilla_server.database import ALEMBIC_CONFIG_FILE  # noqa: E402
from argilla_server.search_engine.base import SearchEngine  # noqa: E402


async def nothing(*arguments, **options):
    return None


async def always(*arguments):
    return True


async def progress(*arguments):
    return {"total": 0, "completed": 0, "pending": 0}


async def new_instance(cls):
    return cls()


methods = dict.fromkeys(SearchEngine.__abstractmethods__, nothing)
methods |= {"new_instance": classmethod(new_instance), "ping": always, "info": progress}
methods |= {"get_dataset_progress": progress, "get_dataset_user_progress": progress}
SearchEngine.register("stand-in")(type("StandIn", (SearchEngine,), methods))
alembic.config.main(argv=["-c", ALEMBIC_CONFIG_FILE, "upgrade", "head"])
asyncio.run(_create_default(key, "password-1", quiet=True))
uvicorn.run("argilla_server:app", host="127.0.0.1", port=port, log_level="warning")
