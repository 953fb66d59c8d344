"""A scripted policy as an OpenAI-compatible server, to see by hand that the pipeline says of it what theory says.

python -m tests.evals.serve_scripted oracle_asker --tasks pir_mip_gsm8k --data mip_gsm8k.jsonl --port 8009
pir eval run --base-url http://127.0.0.1:8009/v1 --tasks pir_mip_gsm8k --data mip_gsm8k.jsonl -o out/runs/oracle
"""

from __future__ import annotations

import argparse
import json
import time

from evals.catalog import load_tasks
from evals.commands.parsing import assignments, data_files
from evals.lm_tasks import row_of
from tests.evals import scripted_server
from tests.evals.scripted_server import PlainServer, Script, serving

POLICIES = ("oracle_asker", "never_asks", "always_asks", "asks_forever")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy", choices=POLICIES)
    parser.add_argument("--tasks", required=True)
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--port", type=int, default=8009)
    chosen = parser.parse_args()
    options = assignments(chosen.option, "--option") | {"data": data_files(chosen.data)}
    tasks = load_tasks(chosen.tasks.split(","), options)["tasks"].values()
    rows = [row_of(doc) for task in tasks for doc in task.test_docs()]
    server = PlainServer(Script(rows, getattr(scripted_server, chosen.policy)), port=chosen.port)
    with serving(server):
        print(json.dumps({"url": server.url, "policy": chosen.policy, "rows": len(rows)}), flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
