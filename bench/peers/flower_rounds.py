"""Round overhead of a Flower simulation, for bench/rounds.mjs: FedAvg over clients that return their parameters at once.

flower_rounds.py CLIENTS BYTES ROUNDS [CPUS_PER_CLIENT]: prints one JSON line. Nothing is sealed, signed or durable here;
with 1 CPU per client Ray runs as many of them at once as there are cores.
"""
import json
import os
import statistics
import sys
import time

started = time.time()
os.environ.update(FLWR_TELEMETRY_ENABLED="0", RAY_USAGE_STATS_ENABLED="0")

import flwr  # noqa: E402
import numpy as np  # noqa: E402
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.serverapp import ServerApp  # noqa: E402
from flwr.serverapp.strategy import FedAvg  # noqa: E402
from flwr.simulation import run_simulation  # noqa: E402

clients, payload, rounds = (int(text) for text in sys.argv[1:4])
cpus = float(sys.argv[4]) if len(sys.argv) > 4 else 1.0
client, server, marks = ClientApp(), ServerApp(), []


@client.train()
def train(message, context):
    arrays = ArrayRecord(message.content["arrays"].to_numpy_ndarrays())
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
    return Message(content=content, reply_to=message)


class Marked(FedAvg):
    def configure_train(self, *args, **kwargs):
        marks.append(time.time())
        return super().configure_train(*args, **kwargs)


@server.main()
def main(grid, context):
    arrays = [np.random.rand(max(1, payload // 16)).astype(np.float32) for _ in range(4)]
    strategy = Marked(fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
    strategy.start(grid=grid, initial_arrays=ArrayRecord(arrays), num_rounds=rounds)
    marks.append(time.time())


def memory_mib():
    """Proportional set size of this process and all its descendants, now: pages that are shared count once."""
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parents[int(pid)] = int(file.read().rsplit(") ", 1)[1].split()[1])
        except OSError:
            pass  # it ended meanwhile
    family, size = {os.getpid()}, 0
    while len(family) > size:
        size = len(family)
        family |= {pid for pid, parent in parents.items() if parent in family}
    total = 0
    for pid in family:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total / 1024


def watch(peak):
    import threading

    def look():
        while not peak["stop"]:
            peak["mib"] = max(peak["mib"], memory_mib())
            time.sleep(0.5)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()


peak = {"mib": 0.0, "stop": False}
watch(peak)
resources = {"num_cpus": cpus, "num_gpus": 0.0}
backend = {"init_args": {"num_cpus": os.cpu_count(), "num_gpus": 0}, "client_resources": resources}
run_simulation(server, client, num_supernodes=clients, backend_config=backend)
peak["stop"] = True
seconds = [after - before for before, after in zip(marks, marks[1:])]
print(json.dumps({"flwr": flwr.__version__, "start_s": marks[0] - started, "first_round_s": seconds[0],
                  "ms_per_client": 1000 * statistics.median(seconds[1:]) / clients, "peak_mib": peak["mib"]}))
