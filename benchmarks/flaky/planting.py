"""Generates small projects with planted flaky tests of every category, and the truth about them.

Each kind is a piece of test code with one flaky test; some come with a polluter or a setter. `{p}` is the probability
with which a random one fails. A project has stable tests too, some of which use the same means without harm. Nothing
of a test's name says what it is.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

STATE = '''"""State that tests share."""
settings = {}
registry = []
cache = {}


class Counter:
    total = 0


def ready():
    return settings.get("ready", False)


def draw(faces=100):
    import random

    return random.randrange(faces)
'''


@dataclass(frozen=True)
class Kind:
    """One way to be flaky. `code` defines test_{n}; `other` defines the test other_{n} that pollutes or sets."""

    name: str
    category: str
    code: str
    other: str = ""
    other_is: str = ""
    second: str = ""
    is_random: bool = False


@dataclass(frozen=True)
class Planted:
    """What is true of a planted test. `p` is its probability to fail, 0 where it follows from order, seed or zone."""

    nodeid: str
    kind: str
    category: str
    p: float
    polluters: tuple[str, ...] = ()
    setters: tuple[str, ...] = ()


KINDS: tuple[Kind, ...] = (
    Kind(
        "a setting left behind", "order",
        "def test_{n}():\n    assert state.settings.get('mode{n}', 'plain') == 'plain'\n",
        "def test_{o}():\n    state.settings['mode{n}'] = 'fancy'\n    assert state.settings['mode{n}'] == 'fancy'\n",
        "polluter",
    ),
    Kind(
        "an environment variable left behind", "order",
        "def test_{n}():\n    assert os.environ.get('SHOP_{n}') is None\n",
        "def test_{o}():\n    os.environ['SHOP_{n}'] = '1'\n    assert os.environ['SHOP_{n}'] == '1'\n",
        "polluter",
    ),
    Kind(
        "a class attribute counted up", "order",
        "def test_{n}():\n    assert getattr(state.Counter, 'c{n}', 0) == 0\n",
        "def test_{o}():\n    state.Counter.c{n} = getattr(state.Counter, 'c{n}', 0) + 1\n"
        "    assert state.Counter.c{n} >= 1\n",
        "polluter",
    ),
    Kind(
        "two polluters together", "order",
        "def test_{n}():\n    assert len([name for name in state.cache if name.startswith('k{n}')]) < 2\n",
        "def test_{o}():\n    state.cache['k{n}a'] = 1\n    assert 'k{n}a' in state.cache\n",
        "polluter",
        "def test_{o}b():\n    state.cache['k{n}b'] = 1\n    assert 'k{n}b' in state.cache\n",
    ),
    Kind(
        "lives on another's set-up", "order",
        "def test_{n}():\n    assert state.settings['loaded{n}'] is True\n",
        "def test_{o}():\n    state.settings['loaded{n}'] = True\n    assert state.settings['loaded{n}']\n",
        "setter",
    ),
    Kind(
        "a draw", "random",
        "def test_{n}():\n    assert random.random() >= {p}\n", is_random=True,
    ),
    Kind(
        "a draw in the code under test", "random",
        "def test_{n}():\n    assert state.draw() >= {p} * 100\n", is_random=True,
    ),
    Kind(
        "an identifier", "random",
        "def test_{n}():\n    assert uuid.uuid4().int % 1000 >= {p} * 1000\n", is_random=True,
    ),
    Kind(
        "a secret", "random",
        "def test_{n}():\n    assert secrets.randbelow(1000) >= {p} * 1000\n", is_random=True,
    ),
    Kind(
        "a shuffled sample", "random",
        "def test_{n}():\n    sample = random.Random().sample(range(1000), 10)\n    assert sample[0] >= {p} * 1000\n",
        is_random=True,
    ),
    Kind(
        "an event awaited too briefly", "async_wait",
        "def test_{n}():\n    async def answer():\n"
        "        await asyncio.sleep(0.3 if os.urandom(1)[0] < {p} * 256 else 0)\n        return 1\n"
        "    assert asyncio.run(asyncio.wait_for(answer(), 0.1)) == 1\n",
        is_random=True,
    ),
    Kind(
        "a thread awaited by sleeping", "async_wait",
        "def test_{n}():\n    done = []\n    def work():\n"
        "        time.sleep(0.4 if os.urandom(1)[0] < {p} * 256 else 0)\n        done.append(1)\n"
        "    worker = threading.Thread(target=work)\n    worker.start()\n    time.sleep(0.15)\n    seen = list(done)\n"
        "    worker.join()\n    assert seen == [1]\n",
        is_random=True,
    ),
    Kind(
        "a lost update", "concurrency",
        "def test_{n}():\n    total = {{'n': 0}}\n"
        "    lock = contextlib.nullcontext() if os.urandom(1)[0] < {p} * 256 else threading.Lock()\n"
        "    meet = threading.Barrier(2)\n    def add():\n        meet.wait()\n        with lock:\n"
        "            seen = total['n']\n            for _ in range(2000):\n                pass\n"
        "            threading.Event().wait(0.02)\n            total['n'] = seen + 1\n"
        "    workers = [threading.Thread(target=add) for _ in range(2)]\n    [worker.start() for worker in workers]\n"
        "    [worker.join() for worker in workers]\n    assert total['n'] == 2\n",
        is_random=True,
    ),
    Kind(
        "who comes first in a pool", "concurrency",
        "def test_{n}():\n    order = []\n    late = os.urandom(1)[0] < {p} * 256\n    def job(number):\n"
        "        threading.Event().wait(0.05 if (number == 0) == late else 0)\n        order.append(number)\n"
        "    with concurrent.futures.ThreadPoolExecutor(2) as pool:\n        list(pool.map(job, range(2)))\n"
        "    assert order == [0, 1]\n",
        is_random=True,
    ),
    Kind(
        "a set joined", "unordered",
        "def test_{n}():\n    assert '-'.join({{'red', 'green', 'blue{n}'}}) in "
        "('red-green-blue{n}', 'green-red-blue{n}', 'red-blue{n}-green')\n",
    ),
    Kind(
        "the first of a set", "unordered",
        "def test_{n}():\n    names = set('north{n} south east'.split())\n    assert list(names)[0] != 'south'\n",
    ),
    Kind(
        "floats of a set summed", "float",
        "def test_{n}():\n    weights = {{'a{n}': 0.1, 'b': 0.2, 'c': 0.3, 'd': 0.7}}\n    total = 0.0\n"
        "    for name in {{'a{n}', 'b', 'c', 'd'}}:\n        total += weights[name]\n    assert total == 1.3\n",
    ),
    Kind(
        "the hour of the zone", "time",
        "def test_{n}():\n    assert time.localtime(1_700_000_000).tm_hour == 22\n",
    ),
    Kind(
        "the day of the zone", "time",
        "def test_{n}():\n    assert datetime.datetime.fromtimestamp(1_700_000_000).strftime('%d') == '14'\n",
    ),
    Kind(
        "a fraction of the clock", "time",
        "def test_{n}():\n    assert datetime.datetime.now().microsecond % 1000 >= {p} * 1000\n", is_random=True,
    ),
    Kind(
        "a server that may be away", "network",
        "def test_{n}():\n    with socket.socket() as server:\n        server.bind(('127.0.0.1', 0))\n"
        "        if os.urandom(1)[0] >= {p} * 256:\n            server.listen()\n"
        "        with socket.create_connection(server.getsockname(), timeout=2):\n            pass\n",
        is_random=True,
    ),
    Kind(
        "too many open files", "resource",
        "def test_{n}():\n    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "    used = len(os.listdir('/proc/self/fd'))\n    files = []\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 30, hard))\n    try:\n"
        "        for _ in range(60 if os.urandom(1)[0] < {p} * 256 else 5):\n"
        "            files.append(open(os.devnull))\n    finally:\n        [file.close() for file in files]\n"
        "        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))\n",
        is_random=True,
    ),
    Kind(
        "a file left in the temporary folder", "nio",
        "def test_{n}():\n    path = pathlib.Path(tempfile.gettempdir()) / 'order-{n}'\n    assert not path.exists()\n"
        "    path.write_text('done')\n",
    ),
    Kind(
        "a registry that only grows", "nio",
        "def test_{n}():\n    state.registry.append('r{n}')\n    assert state.registry.count('r{n}') == 1\n",
    ),
    Kind(
        "a limit of time", "timeout",
        "def test_{n}():\n    start = time.perf_counter()\n"
        "    time.sleep(0.3 if os.urandom(1)[0] < {p} * 256 else 0)\n    assert time.perf_counter() - start < 0.15\n",
        is_random=True,
    ),
)  # fmt: skip

STABLE = (
    "def test_{n}():\n    assert sum(range({n})) == {n} * ({n} - 1) // 2\n",
    "def test_{n}(tmp_path):\n    (tmp_path / 'a').write_text('{n}')\n"
    "    assert (tmp_path / 'a').read_text() == '{n}'\n",
    "def test_{n}():\n    assert sorted({{'b', 'a', 'c'}}) == ['a', 'b', 'c']\n",
    "def test_{n}():\n    assert random.Random({n}).random() == random.Random({n}).random()\n",
    "def test_{n}():\n    async def answer():\n        await asyncio.sleep(0)\n        return {n}\n"
    "    assert asyncio.run(answer()) == {n}\n",
    "def test_{n}(monkeypatch):\n    monkeypatch.setitem(state.settings, 'x{n}', 1)\n"
    "    assert state.settings['x{n}'] == 1\n",
    "def test_{n}():\n    moment = datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc)\n"
    "    assert (moment + datetime.timedelta(days=1)).day == 1\n",
    "def test_{n}():\n    done = threading.Event()\n    worker = threading.Thread(target=done.set)\n"
    "    worker.start()\n    worker.join()\n    assert done.is_set()\n",
    "def test_{n}():\n    assert abs(sum([0.1] * 3) - 0.3) < 1e-9\n",
    "def test_{n}():\n    assert 0 <= random.randrange(10) < 10\n",
)

IMPORTS = (
    "asyncio", "concurrent.futures", "contextlib", "datetime", "os", "pathlib", "random", "resource", "secrets",
    "socket", "tempfile", "threading", "time", "uuid",
)  # fmt: skip


def plant(folder: Path, seed: int, *, modules: int = 6, stable: int = 40, lowest: float = 0.2, highest: float = 0.5,
          kinds: tuple[Kind, ...] = KINDS) -> dict[str, Planted]:  # fmt: skip
    """Write a project with one test of each kind among stable ones to `folder`; returns the truth by node id."""
    chance = random.Random(f"planted {seed}")
    pieces: list[list[tuple[str, str]]] = [[] for _ in range(modules)]
    places: dict[str, int] = {}
    numbers = iter(chance.sample(range(100, 1000), stable + 2 * len(kinds) + 10))

    def put(name: str, code: str) -> None:
        places[name] = chance.randrange(modules)
        pieces[places[name]].append((name, code))

    told: list[tuple[Kind, str, float, list[str]]] = []
    for number in range(stable):
        n = next(numbers)
        put(f"test_{n}", STABLE[number % len(STABLE)].format(n=n))
    for kind in kinds:
        n, o = next(numbers), next(numbers)
        p = round(chance.uniform(lowest, highest), 2) if kind.is_random else 0.0
        put(f"test_{n}", kind.code.format(n=n, o=o, p=p))
        others = [(f"test_{o}", kind.other), (f"test_{o}b", kind.second)]
        for name, code in others:
            if code:
                put(name, code.format(n=n, o=o, p=p))
        told.append((kind, f"test_{n}", p, [name for name, code in others if code]))
    (folder / "lib").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["lib"]\n', encoding="utf-8")
    (folder / "lib" / "state.py").write_text(STATE, encoding="utf-8")
    head = "".join(f"import {name}\n" for name in IMPORTS) + "\nimport state\n"
    for number, module in enumerate(pieces):
        chance.shuffle(module)
        text = head + "".join(f"\n\n{code}" for _, code in module)
        (folder / "tests" / f"test_m{number}.py").write_text(text, encoding="utf-8")

    def nodeid(name: str) -> str:
        return f"tests/test_m{places[name]}.py::{name}"

    return {
        nodeid(name): Planted(
            nodeid(name), kind.name, kind.category, p,
            tuple(map(nodeid, others)) if kind.other_is == "polluter" else (),
            tuple(map(nodeid, others)) if kind.other_is == "setter" else (),
        )
        for kind, name, p, others in told
    }  # fmt: skip


def as_json(truth: Mapping[str, Planted]) -> str:
    """The truth as a JSON object."""
    return json.dumps({nodeid: asdict(one) for nodeid, one in truth.items()}, indent=1)
