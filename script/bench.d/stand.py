"""What the benches stand on: a Siesta of its own on a data folder of its own, and the Docker API."""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from urllib.parse import quote

SOCKET = os.environ.get("SIESTA_DOCKER_SOCKET", "/var/run/docker.sock")


class Failed(Exception):
    """A request failed or an answer was wrong: the bench is void."""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("docker", timeout=120)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def docker(method, path, body=None):
    """One call of the Docker API; the decoded answer."""
    connection = UnixConnection()
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= 400:
        raise Failed(f"docker {method} {path}: {answer.status} {text[:300]!r}")
    return json.loads(text) if text.strip().startswith((b"{", b"[")) else None


def removed(image):
    try:
        docker("DELETE", f"/images/{quote(image, safe='')}?force=1")
    except Failed:
        return False
    return True


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def first_byte(address, host, path="/", timeout=90):
    """Seconds from connecting until the first byte of the answer, and (status, body)."""
    begun = time.perf_counter()
    with socket.create_connection(address, timeout=timeout) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        data = one.recv(65536)
        took = time.perf_counter() - begun
        while more := one.recv(65536):
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    if not head:
        raise Failed(f"{host}: the connection was closed without an answer")
    return took, (int(head.split(b" ")[1]), body)


class Stand:
    """A running `siesta serve`. Use it in a `with`: everything it made is removed at the end."""

    def __init__(self, **settings):
        self.binary = os.environ["SIESTA_BINARY"]
        self.data = tempfile.mkdtemp(prefix="siesta-bench-")
        self.port = free_port()
        self.users, self.apps = 0, set()
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SIESTA_LISTEN")},
            "SIESTA_DATA_DIR": self.data,
            "SIESTA_LISTEN": f"127.0.0.1:{self.port}",
            "SIESTA_LISTEN_TLS": "127.0.0.1:0",
            "SIESTA_NETWORK_RANGE": "10.251.0.0/16",
            "MIMALLOC_PURGE_DELAY": "0",  # as script/server, the unit and the image have it
            **settings,
        }

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that __exit__ runs
        try:
            self.start()
            self.new_user("--admin")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def start(self):
        self.log = open(os.path.join(self.data, "server.log"), "ab")
        self.process = subprocess.Popen([self.binary, "serve"], env=self.env, stdout=self.log, stderr=self.log)
        self.within(120, self.is_up, "the server did not come up")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def new_user(self, *options):
        self.users += 1
        email = f"bench-{self.users}@example.org"
        self.siesta("user", "create", email, *options, input="correct horse battery staple\n")
        self.token = self.siesta("token", "create", email).stdout.strip().splitlines()[-1].split()[-1]

    def create(self, app):
        """An app of an account of the bench: a plan has room for five."""
        if self.apps and len(self.apps) % 5 == 0:
            self.new_user()
        self.api("POST", "/apps", {"name": app})
        self.apps.add(app)

    def instance(self):
        """What the server labels everything of its own with."""
        return pathlib.Path(self.data, "instance").read_text().strip()

    def is_up(self):
        if self.process.poll() is not None:
            raise Failed(f"the server ended: {self.end_of_log()}")
        return self.siesta("status", check=False).returncode == 0

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        if pathlib.Path(self.data, "instance").exists():
            self.remove_all("siesta.instance=" + self.instance())
        shutil.rmtree(self.data, ignore_errors=True)

    @staticmethod
    def remove_all(label):
        filters = "filters=" + quote(json.dumps({"label": [label]}))
        for one in docker("GET", "/containers/json?all=1&" + filters) or []:
            docker("DELETE", f"/containers/{one['Id']}?force=1&v=1")
        for one in docker("GET", "/networks?" + filters) or []:
            docker("DELETE", f"/networks/{one['Id']}")
        for one in (docker("GET", "/volumes?" + filters) or {}).get("Volumes") or []:
            docker("DELETE", f"/volumes/{one['Name']}")
        left = [tag for one in docker("GET", "/images/json?all=0&" + filters) or [] for tag in one["RepoTags"] or [one["Id"]]]
        for _ in range(4):  # an image goes after those that stand on it
            left = [one for one in left if not removed(one)]

    def siesta(self, *arguments, input="", check=True):
        command = [self.binary, *arguments]
        try:
            answer = subprocess.run(command, env=self.env, input=input, capture_output=True, text=True, timeout=900)
        except subprocess.TimeoutExpired as late:
            raise Failed(f"siesta {' '.join(arguments)} did not end: {(late.stdout or b'')[-2000:]!r}; {self.end_of_log()}") from None
        if check and answer.returncode != 0:
            raise Failed(f"siesta {' '.join(arguments)}: {answer.stdout[-2000:]}{answer.stderr}")
        return answer

    def end_of_log(self):
        return pathlib.Path(self.data, "server.log").read_text(errors="replace")[-2000:]

    def phases(self):
        """Seconds of each phase of the last build, from the server's own record."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data}/siesta.db?mode=ro", uri=True)) as store:
            row = store.execute("select phases from builds order by created_at desc limit 1").fetchone()
        return {one["name"]: (one["finished_at"] - one["started_at"]) / 1000 for one in json.loads(row[0])}

    @staticmethod
    def within(seconds, ready, otherwise, pause=0.05):
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                raise Failed(otherwise)
            time.sleep(pause)

    def api(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        credentials = base64.b64encode(f":{self.token}".encode()).decode()
        headers = {
            "Accept": "application/vnd.heroku+json; version=3",
            "Authorization": "Basic " + credentials,
            "Content-Type": "application/json",
            "Host": "localhost",
        }
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 400:
            raise Failed(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text) if text else None

    def deploy(self, app, folder):
        """Deploys a folder; seconds until the command ended."""
        if app not in self.apps:
            self.create(app)
        begun = time.perf_counter()
        self.siesta("deploy", "--app", app, folder)
        return time.perf_counter() - begun

    def get(self, app, path="/"):
        took, answer = first_byte(("127.0.0.1", self.port), f"{app}.localhost:{self.port}", path)
        if answer[0] != 200:
            raise Failed(f"{app} answered {answer[0]}: {answer[1][:300]!r}")
        return took, answer

    def dynos(self):
        """The dynos of this server, as Docker lists them; one that fell asleep is gone."""
        return [one for one in self.containers() if not is_standby(one)]

    def standbys(self):
        """The standbys of its sleeping apps that are ready."""
        return [one for one in self.containers() if is_standby(one) and one["State"] == "running"]

    def containers(self):
        filters = json.dumps({"label": ["siesta.instance=" + self.instance(), "siesta.kind=dyno"]})
        return docker("GET", "/containers/json?all=1&filters=" + quote(filters))


def is_standby(container):
    return "-standby-" in container["Names"][0]


def rows_of(database, sql):
    with contextlib.closing(sqlite3.connect(database)) as store:
        return store.execute(sql).fetchall()


def register(database, count, prefix="bench-density"):
    """Writes that many sleeping apps of the first account with a release each, as a server would have left them."""
    now = int(time.time() * 1000)
    first = 1 + int((rows_of(database, "select value from settings where key = 'last_app_number'") or [["0"]])[0][0])
    fresh = lambda: uuid.uuid4().bytes
    with sqlite3.connect(database) as rows:
        rows.execute("pragma foreign_keys = off")
        owner = rows.execute("select id from users where system = 0 limit 1").fetchone()
        owner = owner[0] if owner else fresh()
        rows.execute("insert or ignore into users (id, email, created_at, updated_at) values (?, 'bench@example.org', ?, ?)", (owner, now, now))
        for number in range(first, first + count):
            app, config, slug, release = fresh(), fresh(), fresh(), fresh()
            rows.execute(
                "insert into apps (id, name, owner_id, number, stack, current_release_id, released_at, created_at, updated_at)"
                " values (?, ?, ?, ?, 'siesta-12', ?, ?, ?, ?)",
                (app, f"{prefix}-{number}", owner, number, release, now, now, now),
            )
            rows.execute("insert into config_sets values (?, ?, x'00', ?)", (config, app, now))
            rows.execute(
                "insert into slugs (id, app_id, code_file, deps_key, stack, language, runtime, process_types, size, created_at)"
                " values (?, ?, 'none', 'none', 'siesta/run:1', 'Python', 'Python 3.11.2', '{\"web\":\"gunicorn app:app\"}', 1000, ?)",
                (slug, app, now),
            )
            rows.execute(
                "insert into releases (id, app_id, version, description, status, slug_id, config_set_id, user_email, created_at, updated_at)"
                " values (?, ?, 3, 'Deploy', 'succeeded', ?, ?, 'bench@example.org', ?, ?)",
                (release, app, slug, config, now, now),
            )
            rows.execute("insert into formation values (?, 'web', 1, ?, ?)", (app, now, fresh()))
            rows.execute("insert into app_activity (app_id, asleep, last_request_at) values (?, 1, ?)", (app, now))
            rows.execute("insert into awake_spans (app_id, started_at, ended_at) values (?, ?, ?)", (app, now - 3_600_000, now - 1_800_000))
        rows.execute("insert or replace into settings values ('last_app_number', ?)", (str(first + count - 1),))


def quiet():
    """One line about what else the machine does."""
    print(f"  load {' '.join(pathlib.Path('/proc/loadavg').read_text().split()[:3])} at the end")


def summary(values, unit=1000.0):
    """Median, 99th percentile and spread in milliseconds (or another unit)."""
    ordered = sorted(value * unit for value in values)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    return statistics.median(ordered), p99, ordered[0], ordered[-1]


def print_row(name, values, unit="ms", scale=1000.0):
    median, p99, low, high = summary(values, scale)
    print(f"  {name:<34} median {median:9.1f} {unit}   p99 {p99:9.1f}   min {low:9.1f}   max {high:9.1f}   n={len(values)}")
