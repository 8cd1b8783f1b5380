"""Where the tables, the topic and the files of one round are."""

import os

VARIABLES = ["HEADRACE_TEST_CASSANDRA", "HEADRACE_TEST_KAFKA", "HEADRACE_TEST_MYSQL"]


class Embedded:
    """The embedded store: everything in one directory, or raw store, log and result in three."""

    session = 10.0  # seconds after which a member that is silent is dropped from its group
    life = 0.8  # seconds that a process lives at most before something happens to it

    def __init__(self, folder, random):
        self.is_one_transaction = random.random() < 0.5
        names = ["store"] * 3 if self.is_one_transaction else ["raw", "log", "result"]
        self.raw, self.log, self.result = (f"embedded:{folder / name}" for name in names)
        self.jobs = self.result

    def __str__(self):
        return f"embedded, {'one directory' if self.is_one_transaction else 'three directories'}"


class Servers:
    """Real servers, as the variables of `./run servers env` name them: a keyspace, a topic and a database of its own."""

    session = 6.0
    life = 6.0
    is_one_transaction = False

    def __init__(self, name):
        missing = [variable for variable in VARIABLES if not os.environ.get(variable)]
        if missing:
            raise SystemExit(f"set {', '.join(missing)}: ./run servers start, then eval \"$(./run servers env)\"")
        cassandra, kafka, mysql = (os.environ[variable] for variable in VARIABLES)
        self.name = name
        self.raw = f"{cassandra}/{name}"
        self.log = f"{kafka}/{name}?session_timeout=6s"
        login, _, rest = mysql.partition("://")
        self.result = self.jobs = f"{login}://{rest.partition('/')[0]}/{name}"

    def __str__(self):
        return f"servers, keyspace, topic and database {self.name}"
