"""Where a process spends its processor time, sampled by perf and told by part of the program.

A sample belongs to the function that ran, after inlining: a call's share is that of its own instructions.
"""

import collections
import re
import shutil
import subprocess
import tempfile

SAMPLES_PER_SECOND = 1_999

KERNEL = "the kernel: sockets, waking, the clock"
# The first that matches the symbol.
PARTS = [
    ("text: UTF-8, numbers, formatting", re.compile(r"(core|alloc)::(str|fmt|num)|from_utf8|\bitoa|\bryu|simdutf8")),
    ("memory: the allocator, copies, counted references", re.compile(
        r"^_*(int_|libc_)?(malloc|calloc|realloc|free|cfree)|^unlink_chunk|^__mem|^mem|drop_in_place|drop_slow|\balloc::")),
    ("hashes and chance", re.compile(r"sha1|sha2|digest|hash|siphash|\brand|chacha|getrandom", re.IGNORECASE)),
    ("the store over Redis: lanes, records, the subscriber", re.compile(r"confab::store")),
    ("rooms: order, delivery, presence", re.compile(r"confab::rooms")),
    ("sessions and the protocol: commands, events, JSON", re.compile(r"confab::(session|protocol|domain|bucket|auth)|serde")),
    ("sockets: frames, the listener", re.compile(r"confab::(socket|server|handshake|routes|page|meter)|tungstenite|hyper|httparse")),
    ("metrics, traces and the log", re.compile(r"confab::(metrics|telemetry|spans|log|ops)|tracing|opentelemetry|prometheus")),
    ("the rest of the service", re.compile(r"confab::")),
    ("the Redis client: commands, answers, the pool", re.compile(r"\bredis::|\bcombine::|deadpool")),
    ("the runtime: tasks, timers, channels", re.compile(r"tokio|\bmio|futures|parking_lot|pthread|std::|\bbytes::|core::|crossbeam")),
]
OTHER = "everything else"


class NoProfile(Exception):
    """Why there is none."""


def shares(pid, seconds):
    """The share of each part, of all samples in so many seconds; and how many samples those were."""
    if not shutil.which("perf"):
        raise NoProfile("perf is missing: install linux-perf")
    with tempfile.NamedTemporaryFile(suffix=".perf") as file:
        record = ["perf", "record", "--quiet", "--event", "cpu-clock", "--freq", str(SAMPLES_PER_SECOND),
                  "--pid", str(pid), "--output", file.name, "--", "sleep", str(seconds)]
        done = subprocess.run(record, capture_output=True, text=True, timeout=seconds + 60, check=False)
        if done.returncode:
            raise NoProfile(f"perf record: {done.stderr.strip()[-300:]}")
        script = ["perf", "script", "--input", file.name, "--fields", "ip,sym,dso"]
        done = subprocess.run(script, capture_output=True, text=True, timeout=300, check=False)
    samples = [line.split(None, 1)[1] for line in done.stdout.splitlines() if line.strip()]
    if not samples:
        raise NoProfile(f"perf took no sample: {done.stderr.strip()[-300:]}")
    counts = collections.Counter(part_of(sample) for sample in samples)
    return {part: count / len(samples) for part, count in counts.most_common()}, len(samples)


def part_of(sample):
    symbol, _, file = sample.rpartition(" (")
    if file.startswith("["):
        return KERNEL
    return next((part for part, pattern in PARTS if pattern.search(symbol)), OTHER)
